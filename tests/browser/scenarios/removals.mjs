// Held-back removals: the rows are shown, the button says how many, one click removes them.
import { ADDRESS, card, check, settle } from "./steps.mjs";

export default async function ({ page, open }) {
  await open("#/");
  await page.getByRole("button", { name: /Removals held back/ }).click();
  await page.getByText("60 removals held back").waitFor();
  await open(ADDRESS);
  await settle(page);
  const look = card(page, "Users").getByRole("button", { name: "Look at 60 removals of Users" });
  await look.click();
  const dialog = page.getByRole("dialog", { name: "Held-back removals: Users" });
  const rows = dialog.locator("tbody").getByRole("row");
  await rows.first().waitFor();
  check((await rows.count()) === 20, `${await rows.count()} rows at first`);
  await dialog.getByRole("button", { name: "Show more rows" }).click();
  await rows.nth(39).waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  check(await look.evaluate((button) => button === document.activeElement), "the focus was lost");
  await look.click();
  await rows.first().waitFor();
  check((await dialog.getByRole("button", { name: /^Remove/ }).count()) === 1, "a run that keeps nothing any more is offered");
  await dialog.getByRole("button", { name: "Remove 60 rows" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("status").filter({ hasText: "60 rows removed." }).waitFor();
  await look.waitFor({ state: "detached" });
}
