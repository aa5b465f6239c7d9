// What a person does in several scenarios.

/** The page of the integration that the test is about. */
export const INTEGRATION = process.env.INTEGRATION ?? "";
export const ADDRESS = `#/integrations/${encodeURIComponent(INTEGRATION)}`;

export const PAGES = ["#/", ADDRESS, "#/runs", "#/webhooks", "#/parked", "#/drift"];

/** Fails with a sentence. */
export function check(isTrue, sentence) {
  if (!isTrue) throw new Error(sentence);
}

/** Waits until the page has said all it has to say. */
export async function settle(page) {
  await page.getByRole("status").filter({ hasText: /^Live$/ }).waitFor();
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

export function card(page, endpoint) {
  return page.getByRole("article", { name: endpoint, exact: true });
}

/** Looks at a full fetch from the button on: the values that its bar showed, until the card says how it ended. */
export async function follow(page, endpoint, press) {
  const place = card(page, endpoint);
  // By what the page itself draws: asking from here would miss what comes and goes between two looks.
  await place.evaluate((element) => {
    window.barValues = [];
    new MutationObserver(() => {
      const bar = element.querySelector("progress");
      if (bar?.hasAttribute("value") && bar.max > 1) window.barValues.push(bar.value / bar.max);
    }).observe(element, { subtree: true, childList: true, attributes: true });
  });
  await press(place);
  const bar = place.getByRole("progressbar", { name: `${endpoint}: full fetch` });
  await bar.waitFor();
  await bar.waitFor({ state: "detached" });
  return page.evaluate(() => window.barValues);
}
