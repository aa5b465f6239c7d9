// Every page opens by its address and shows what it is for; nothing of it comes from elsewhere.
import { ADDRESS, check, INTEGRATION, PAGES, settle } from "./steps.mjs";

const HEADINGS = ["Integrations", "", "Runs", "Webhook inbox", "Parked records", "Schema drift"];

export default async function ({ page, guard, open }) {
  for (const [index, address] of PAGES.entries()) {
    await open(address);
    await settle(page);
    const heading = await page.getByRole("heading", { level: 1 }).innerText();
    check(heading !== "" && heading.includes(HEADINGS[index]), `${address} has the heading ${heading}`);
    check((await page.locator(".notice.bad").count()) === 0, `${address} shows a problem`);
  }
  await open("#/");
  const row = page.getByRole("row").filter({ hasText: INTEGRATION });
  await row.getByRole("img", { name: /^Lag of/ }).waitFor();
  await row.getByRole("img", { name: /^Changes of/ }).waitFor();
  await row.getByRole("link").click();
  await page.getByRole("heading", { name: "Endpoints" }).waitFor();
  check(page.url().endsWith(ADDRESS), `the link leads to ${page.url()}`);
  for (const fact of ["Watermark", "Lag", "Next full fetch", "Drift", "Missed webhooks"]) {
    check((await page.getByText(fact, { exact: true }).count()) >= 4, `not every endpoint shows ${fact}`);
  }
  await page.getByRole("link", { name: "GraphiQL" }).click();
  await page.waitForURL("**/graphiql");
  check(guard.seen.sockets > 0, "no run was followed");
}
