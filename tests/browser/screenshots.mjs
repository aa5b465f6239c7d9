// Pictures of the console in a folder, to be looked at: the list, an integration, the dialog, on a phone and a desktop,
// light and dark. No test: only a person can say whether they are good.
//
// BASE_URL, TOKEN, INTEGRATION   as for console.mjs
// SHOTS                          the folder
import { mkdirSync } from "node:fs";
import { conclude, guarded } from "./guarded.mjs";
import { ADDRESS, settle } from "./scenarios/steps.mjs";

const base = new URL(process.env.BASE_URL ?? "http://127.0.0.1:8080");
const folder = process.env.SHOTS ?? "shots";
const PIECE = 1500;
const MOST_PIECES = 3;
const WIDTHS = { phone: 390, desktop: 1280 };

mkdirSync(folder, { recursive: true });
const problems = [];
for (const [device, width] of Object.entries(WIDTHS)) {
  for (const colorScheme of ["light", "dark"]) {
    const options = { viewport: { width, height: 860 }, colorScheme };
    const seen = await guarded(base, options, async (page) => {
      await page.addInitScript((token) => sessionStorage.setItem("kombo-mirror.token", token), process.env.TOKEN ?? "");
      const path = (name) => `${folder}/${name}-${device}-${colorScheme}.png`;
      const shoot = (name) => page.screenshot({ path: path(name) });
      // A long page in pieces that an eye can take in.
      const shootAll = async (name) => {
        const height = await page.evaluate(() => document.documentElement.scrollHeight);
        for (let piece = 0; piece * PIECE < Math.min(height, MOST_PIECES * PIECE); piece++) {
          const clip = { x: 0, y: piece * PIECE, width, height: Math.min(PIECE, height - piece * PIECE) };
          await page.screenshot({ path: path(`${name}-${piece}`), fullPage: true, clip });
        }
      };
      const open = async (hash) => {
        await page.goto(new URL(`/${hash}`, base).href);
        await settle(page);
        await page.waitForTimeout(1500);
      };
      for (const [name, hash] of [["list", "#/"], ["integration", ADDRESS], ["webhooks", "#/webhooks"], ["parked", "#/parked"]]) {
        await open(hash);
        await shootAll(name);
      }
      await open(ADDRESS);
      const full = page.getByRole("button", { name: "Full resync of Course progressions" });
      await full.click();
      await page.getByRole("progressbar").first().waitFor();
      await page.waitForTimeout(1500);
      await shoot("working");
      const look = page.getByRole("button", { name: /^Look at/ }).first();
      if (await look.count()) {
        await look.click();
        await page.getByRole("button", { name: /^Remove/ }).waitFor();
        await page.waitForTimeout(500);
        await shoot("dialog");
      }
    });
    problems.push(...seen);
  }
}
conclude(`pictures in ${folder}`, problems);
