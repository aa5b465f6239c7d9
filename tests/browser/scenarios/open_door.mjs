// A server without tokens is not asked for one.
import { check, settle } from "./steps.mjs";

export default async function ({ page, open }) {
  await open("#/");
  await settle(page);
  await page.getByText("no token needed").waitFor();
  check((await page.getByRole("button", { name: "Forget token" }).count()) === 0, "there is a token to forget");
}
