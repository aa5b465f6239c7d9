// From a small phone to a desktop nothing has to be pushed sideways.
import { ADDRESS, card, check, PAGES, settle } from "./steps.mjs";

const WIDTHS = [360, 390, 600, 768, 1024, 1185, 1280];

export const options = { hasTouch: true };

async function checkWidth(page, place) {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    const isOver = (element) => element.getBoundingClientRect().right > width + 0.5 && !element.closest(".unseen, pre, thead");
    return {
      scroll: document.documentElement.scrollWidth - width,
      over: [...document.querySelectorAll("body *")].filter(isOver).map((element) => element.outerHTML.slice(0, 120)),
    };
  });
  check(wide.scroll <= 0 && wide.over.length === 0, `${place} is too wide by ${wide.scroll}: ${wide.over.slice(0, 3).join("\n")}`);
}

export default async function ({ page, open }) {
  for (const address of [...PAGES, "dialog"]) {
    await open(address === "dialog" ? ADDRESS : address);
    await settle(page);
    if (address === "dialog") {
      await card(page, "Users").getByRole("button", { name: /^Look at/ }).click();
      await page.getByRole("button", { name: /^Remove \d+ rows$/ }).waitFor();
    } else if (address === ADDRESS) {
      await card(page, "Course progressions").getByRole("button", { name: /^Full resync/ }).click();
      await page.getByRole("progressbar").first().waitFor();
    }
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 800 });
      await checkWidth(page, `${address} at ${width}`);
    }
  }
}
