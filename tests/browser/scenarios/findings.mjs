// What admins look for after a fetch: webhooks, parked records, schema drift. A record's text is on the screen only where
// somebody opens it.
import { ADDRESS, check, settle } from "./steps.mjs";

export default async function ({ page, open }) {
  await open("#/webhooks");
  await settle(page);
  await page.getByRole("cell", { name: /^data-changed/ }).first().waitFor();
  await open("#/drift");
  await page.getByRole("cell", { name: "simulated_extra" }).waitFor();
  await open("#/parked");
  const row = page.getByRole("row").filter({ hasText: "changed_at" }).first();
  await row.waitFor();
  const text = row.locator("pre");
  check(!(await text.isVisible()), "the text is shown unasked");
  await row.getByText("Show").click();
  await text.waitFor();
  check((await text.innerText()).includes('"changed_at"'), "the text is not the record's");
  await open(ADDRESS);
  await settle(page);
  await page.getByRole("link", { name: "Their texts as they came" }).waitFor();
  check((await page.locator("pre").count()) === 0, "an integration's page holds texts");
}
