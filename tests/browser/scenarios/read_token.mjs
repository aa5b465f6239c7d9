// A token that may read sees everything but what is for admins, and cannot press what changes something.
import { ADDRESS, check, settle } from "./steps.mjs";

export default async function ({ page, open }) {
  await open(ADDRESS);
  await settle(page);
  await page.getByText("read token", { exact: true }).waitFor();
  const buttons = page.getByRole("button", { name: /resync of|^Pause$|^Ask Kombo to sync$/ });
  check((await buttons.count()) === 12, `${await buttons.count()} buttons`);
  for (const button of await buttons.all()) {
    check(await button.isDisabled(), `${await button.innerText()} can be pressed`);
    const reason = await button.evaluate((one) => document.getElementById(one.getAttribute("aria-describedby"))?.textContent);
    check(reason?.includes("admin scope"), `${await button.innerText()} does not say why`);
  }
  for (const address of ["#/webhooks", "#/parked", "#/drift"]) {
    await open(address);
    await page.getByText("needs a token with the admin scope").waitFor();
  }
  await open("#/runs");
  await page.getByRole("row").nth(1).waitFor();
}
