// A run is cancelled, the integration paused and taken up again; each says what came of it.
import { ADDRESS, card, settle } from "./steps.mjs";

const said = (page, text) => page.getByRole("status").filter({ hasText: text }).waitFor();

export default async function ({ page, open }) {
  await open(ADDRESS);
  await settle(page);
  const place = card(page, "Course progressions");
  await place.getByRole("button", { name: /^Full resync/ }).click();
  await said(page, "1 full run of Course progressions asked for.");
  await place.getByRole("button", { name: /^Cancel/ }).click();
  await said(page, "Cancelled the full run of Course progressions");
  await place.getByText("Cancelled", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Pause", exact: true }).click();
  await said(page, "Paused: nothing is fetched");
  await page.getByText("Paused by request").waitFor();
  await page.getByRole("button", { name: "Resume", exact: true }).click();
  await said(page, "Resumed");
  await page.getByText("Paused by request").waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Delta resync of all endpoints" }).click();
  await said(page, "4 delta runs of all endpoints asked for.");
}
