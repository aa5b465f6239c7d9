// axe-core looks at every page and at the dialog, light and dark. Its script is put in from outside, which no page could.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { ADDRESS, card, check, PAGES, settle } from "./steps.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = ["serious", "critical"];

async function look(page, place) {
  await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
  const grave = violations.filter(({ impact }) => GRAVE.includes(impact));
  const told = grave.map(({ id, impact, help, nodes }) => `${impact} ${id}: ${help}: ${nodes.map((node) => node.html).slice(0, 3).join(" ")}`);
  check(grave.length === 0, `${place}: ${told.join("\n")}`);
  check(passes.length > 10, `${place}: axe saw nothing`);
  console.log(`${place}: ${passes.length} rules passed, ${violations.map(({ id }) => id).join(", ") || "nothing"} minor`);
}

export default async function ({ page, open }) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const address of PAGES) {
      await open(address);
      await settle(page);
      await look(page, `${colorScheme} ${address}`);
    }
    await open(ADDRESS);
    await settle(page);
    await card(page, "Users").getByRole("button", { name: /^Look at/ }).click();
    await page.getByRole("button", { name: /^Remove \d+ rows$/ }).waitFor();
    await look(page, `${colorScheme} dialog`);
    await page.keyboard.press("Escape");
    await card(page, "Course progressions").getByRole("button", { name: /^Full resync/ }).click();
    await page.getByRole("progressbar").first().waitFor();
    await look(page, `${colorScheme} at work`);
    await page.getByRole("button", { name: "Forget token" }).click();
    await page.getByLabel("Bearer token").waitFor();
    await look(page, `${colorScheme} token`);
    await page.getByLabel("Bearer token").fill(process.env.TOKEN);
    await page.keyboard.press("Enter");
    await settle(page);
  }
}
