// Opens /graphiql, gives the token, asks, reads the answer. Fails on anything a person or a closed network would stumble
// over: another host, a console error, a refused policy, a file that is not there, a token that is left behind.
//
// BASE_URL        the server
// TOKEN           a token the server accepts; without it the server is expected to run with AUTH=off
// QUERY, EXPECT   what to ask (default: what the page offers) and a text the answer must contain
// SCREENSHOT, SCHEME   where to leave a picture; light or dark
import { conclude, guarded } from "./guarded.mjs";

const { BASE_URL, TOKEN, QUERY, SCREENSHOT, EXPECT = '"nodes"', SCHEME = "light" } = process.env;
// A debug build on a busy machine needs 3 seconds for the editor.
const PATIENCE_MS = 30_000;
/** What a browser says of the answer to a question without the right token. */
const REFUSED = /\b401\b/;

const base = new URL(BASE_URL ?? "http://127.0.0.1:8080");

// The two pages /graphiql may be, and how a person uses each.
const PAGES = {
  graphiql: {
    ready: ".graphiql-query-editor .view-line",
    async type(page, query) {
      await page.locator(".graphiql-query-editor .view-lines").first().click();
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.insertText(query);
    },
    run: (page) => page.locator(".graphiql-execute-button").click(),
    answer: ".graphiql-response .result-window",
    async examples(page) {
      return page.locator(".graphiql-tab").count();
    },
  },
  plain: {
    ready: "#query",
    type: (page, query) => page.getByLabel("Query", { exact: true }).fill(query),
    run: (page) => page.getByLabel("Query", { exact: true }).press("ControlOrMeta+Enter"),
    answer: "#result",
    async examples(page) {
      const options = page.getByLabel("Example").locator("option");
      await page.getByLabel("Example").selectOption("Runs");
      const query = await page.getByLabel("Query", { exact: true }).inputValue();
      if (!query.includes("syncRuns")) throw new Error(`an example was chosen, and the query is ${query}`);
      await page.getByLabel("Example").selectOption("Integrations");
      return options.count();
    },
  },
};

async function giveToken(page, token) {
  // By its label: the way a screen reader finds it.
  const input = page.getByLabel("Bearer token");
  await input.fill(token);
  await input.press("Enter");
}

async function expectHint(page, text) {
  await page.getByRole("status").filter({ hasText: text }).waitFor({ timeout: PATIENCE_MS });
}

// The editor shows spaces as no-break spaces.
async function waitForAnswer(page, selector) {
  const contains = ([selector, text]) =>
    document.querySelector(selector)?.innerText.replaceAll("\u00a0", " ").includes(text);
  try {
    await page.waitForFunction(contains, [selector, EXPECT], { timeout: PATIENCE_MS });
  } catch {
    const shown = await page.locator(selector).innerText();
    throw new Error(`the answer never contained ${EXPECT}; it shows: ${shown}`);
  }
}

async function checkToken(page, guard) {
  const kept = await page.evaluate(() => [Object.values(localStorage), document.cookie].flat().join("\n"));
  if (kept.includes(TOKEN)) guard.problems.push("the token outlives the tab: it is in localStorage or a cookie");
  if (page.url().includes(TOKEN)) guard.problems.push("the token is in an address");
  await page.reload();
  const restored = await page.getByLabel("Bearer token").inputValue();
  if (restored !== TOKEN) guard.problems.push("the token is lost when the page is loaded again");
}

const problems = await guarded(base, { colorScheme: SCHEME }, async (page, guard) => {
  await page.goto(new URL("/graphiql", base).href);
  const kind = (await page.locator("#graphiql").count()) ? "graphiql" : "plain";
  const { ready, type, run, answer, examples } = PAGES[kind];
  await page.locator(ready).first().waitFor({ timeout: PATIENCE_MS });
  console.log(`page: ${kind}`);
  const offered = await examples(page);
  if (offered < 8) guard.problems.push(`only ${offered} examples are offered`);
  if (TOKEN) {
    // Without a token nothing is asked of a server that would refuse it.
    await run(page);
    await expectHint(page, "asks for a token");
    guard.allow(REFUSED);
    await giveToken(page, "not-a-token-of-this-server");
    await run(page);
    await expectHint(page, "did not accept this token");
    await guard.quiet();
    guard.allow();
    await giveToken(page, TOKEN);
  }
  if (QUERY) await type(page, QUERY);
  await run(page);
  await waitForAnswer(page, answer);
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT });
  if (TOKEN) await checkToken(page, guard);
  // Workers and late chunks still load after the first answer.
  await page.waitForLoadState("networkidle");
  console.log(`requests: ${guard.seen.requests}, sockets: ${guard.seen.sockets}`);
});
conclude(`${new URL("/graphiql", base)} answered with ${EXPECT}`, problems);
