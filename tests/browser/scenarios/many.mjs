// A thousand integrations stay usable: found by a word, filtered by health, shown a few at a time.
import { check } from "./steps.mjs";

export default async function ({ page, open }) {
  await open("#/");
  const rows = page.locator("tbody").getByRole("row");
  await page.getByRole("button", { name: /^1,0\d\d All$/ }).waitFor();
  check((await rows.count()) === 25, `${await rows.count()} rows at first`);
  await page.getByRole("button", { name: "Show more integrations" }).click();
  await rows.nth(49).waitFor();
  await page.getByLabel("Search by name, id or tool").fill("customer 777 ");
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
  await page.getByRole("link", { name: "Customer 777 Ltd" }).waitFor();
  await page.getByLabel("Search by name, id or tool").fill("no such name");
  await page.getByText("No integration fits").waitFor();
  await page.getByLabel("Search by name, id or tool").fill("");
  await page.getByRole("button", { name: /^10 Failing$/ }).click();
  await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 10);
  check((await rows.filter({ hasText: "Failing" }).count()) === 10, "others are shown too");
}
