// The page asks for a token, says when the server does not take it, and opens with one that it takes.
import { check, settle } from "./steps.mjs";

export default async function ({ page, guard, open }) {
  await open("#/runs");
  const input = page.getByLabel("Bearer token");
  await input.fill("two words");
  await input.press("Enter");
  await page.getByRole("alert").filter({ hasText: "no spaces" }).waitFor();
  guard.allow(/\b401\b/);
  let refusals = 0;
  page.on("response", (response) => (refusals += response.status() === 401 ? 1 : 0));
  // The same one again is another try.
  for (const tries of [1, 2]) {
    await input.fill("not-a-token-of-this-server");
    const refused = page.waitForResponse((response) => response.status() === 401);
    await input.press("Enter");
    await refused;
    await page.getByRole("alert").filter({ hasText: "did not accept this token" }).waitFor();
    await guard.quiet();
    check(refusals === tries, `${refusals} refusals after ${tries} tries`);
  }
  await input.fill(`Authorization: Bearer ${process.env.GOOD_TOKEN}`);
  guard.allow();
  await input.press("Enter");
  await settle(page);
  await page.getByRole("heading", { name: "Runs" }).waitFor();
  const kept = await page.evaluate(() => [Object.values(localStorage), document.cookie, location.href].flat().join("\n"));
  check(!kept.includes(process.env.GOOD_TOKEN), "the token outlives the tab");
  await page.reload();
  await settle(page);
  await page.getByRole("button", { name: "Forget token" }).click();
  await input.waitFor();
  check((await page.evaluate(() => sessionStorage.length)) === 0, "the token was not forgotten");
}
