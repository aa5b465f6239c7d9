// At the width of a small phone nothing has to be pushed sideways.
import { ADDRESS, card, check, PAGES, settle } from "./steps.mjs";

export const options = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

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
  for (const address of PAGES) {
    await open(address);
    await settle(page);
    check(await page.evaluate(() => innerWidth === 360), "the page made itself wider");
    await checkWidth(page, address);
  }
  await open(ADDRESS);
  await card(page, "Users").getByRole("button", { name: /^Look at/ }).click();
  await page.getByRole("button", { name: /^Remove \d+ rows$/ }).waitFor();
  await checkWidth(page, "the dialog");
}
