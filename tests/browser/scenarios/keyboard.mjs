// Everything by keyboard: from the first Tab to a resync that has ended, and out of a dialog again.
import { ADDRESS, card, check, follow, settle } from "./steps.mjs";

/** More than there are places to stop at. */
const MOST_STOPS = 80;

async function focused(page) {
  return page.evaluate(() => {
    const { activeElement: element } = document;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return {
      name: element.getAttribute("aria-label") ?? element.textContent.trim(),
      isBody: element === document.body,
      isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2,
    };
  });
}

async function tabTo(page, wanted) {
  for (let stop = 0; stop < MOST_STOPS; stop++) {
    await page.keyboard.press("Tab");
    const { name, isBody, isSeen } = await focused(page);
    check(isBody || isSeen, `the focus on ${name} cannot be seen`);
    if (wanted.test(name)) return;
  }
  throw new Error(`Tab never came to ${wanted}`);
}

export default async function ({ page, open }) {
  await open(ADDRESS);
  await settle(page);
  await tabTo(page, /^Skip to the content$/);
  await page.keyboard.press("Enter");
  check(await page.evaluate(() => document.activeElement.id === "main"), "the link does not skip");
  await tabTo(page, /^Full resync of Course progressions$/);
  const values = await follow(page, "Course progressions", () => page.keyboard.press("Enter"));
  check(new Set(values).size >= 3, `the bar did not move: ${values}`);
  check((await card(page, "Course progressions").locator(".now .badge").innerText()) === "Succeeded", "it did not succeed");
  check(/Full resync of Course progressions/.test((await focused(page)).name), "the focus was lost");

  await tabTo(page, /^Look at \d+ removals of Users$/);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /^Remove \d+ rows$/ }).waitFor();
  await tabTo(page, /^Keep them$/);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  check(/^Look at/.test((await focused(page)).name), "the focus did not come back from the dialog");
  // Round the page and no trap on the way.
  await tabTo(page, /^kombo-mirror$/);
}
