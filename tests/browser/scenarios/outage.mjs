// The server goes away and comes back: the page says so, and is live again by itself. The test stops and starts the
// server when this script tells it to.
import { createInterface } from "node:readline";
import { check, settle } from "./steps.mjs";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function tell(word) {
  console.log(word);
  await lines.next();
}

export default async function ({ page, guard, open }) {
  await open("#/");
  await settle(page);
  guard.allow(/ERR_CONNECTION|WebSocket|socket:/);
  await tell("stop");
  await page.getByRole("status").filter({ hasText: "Not reachable" }).waitFor();
  await page.getByRole("alert").filter({ hasText: "UNREACHABLE" }).waitFor();
  check((await page.locator("tbody tr").count()) > 0, "what was known is not shown any more");
  await tell("start");
  await settle(page);
  await page.getByRole("alert").filter({ hasText: "UNREACHABLE" }).waitFor({ state: "detached" });
  process.stdin.destroy();
}
