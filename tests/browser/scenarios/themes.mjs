// Light and dark follow the system, a choice wins over it and is remembered.
import { check, settle } from "./steps.mjs";

const brightness = (page) =>
  page.evaluate(() => {
    const [red, green, blue] = getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g).map(Number);
    return red + green + blue;
  });
const isDark = async (page) => (await brightness(page)) < 300;

export default async function ({ page, open }) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await open("#/");
    await settle(page);
    check((await isDark(page)) === (colorScheme === "dark"), `it is not ${colorScheme}`);
  }
  const toggle = page.getByRole("button", { name: /^Colours:/ });
  await toggle.click();
  check(!(await isDark(page)), "light was chosen, and it is dark");
  await page.reload();
  await settle(page);
  check(!(await isDark(page)), "the choice was forgotten");
  await toggle.click();
  await page.emulateMedia({ colorScheme: "light" });
  check(await isDark(page), "dark was chosen, and it is light");
}
