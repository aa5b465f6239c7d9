// A full resync that is pressed shows a bar that moves, and ends green.
import { ADDRESS, card, check, follow, settle } from "./steps.mjs";

export default async function ({ page, open }) {
  await open(ADDRESS);
  await settle(page);
  const endpoint = "Course progressions";
  const values = await follow(page, endpoint, (place) => place.getByRole("button", { name: `Full resync of ${endpoint}` }).click());
  const different = new Set(values);
  check(different.size >= 3, `the bar did not move: ${values}`);
  check(values.every((value, index) => index === 0 || value >= values[index - 1]), `the bar went back: ${values}`);
  const end = card(page, endpoint).locator(".now .badge");
  check((await end.innerText()) === "Succeeded", `it ended as ${await end.innerText()}`);
  check((await end.getAttribute("class")).includes("good"), "the end is not green");
  const [red, green, blue] = await end.evaluate((badge) => getComputedStyle(badge).color.match(/\d+/g).map(Number));
  check(green > red && green > blue, `the end is not green but rgb(${red}, ${green}, ${blue})`);
  await page.getByRole("row").filter({ hasText: "by hand" }).first().waitFor();
}
