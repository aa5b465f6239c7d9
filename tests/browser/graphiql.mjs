// Opens /graphiql in a real Chromium that can reach the server and nothing else, gives the token, asks, reads the answer.
// Fails on anything a person or a closed network would stumble over: another host, a console error, a refused policy, a
// file that is not there, a token that is left behind.
//
// BASE_URL, CHROMIUM   the server, the browser (run.sh finds the browser)
// TOKEN                a token the server accepts; without it the server is expected to run with AUTH=off
// QUERY, EXPECT        what to ask (default: what the page offers) and a text the answer must contain
// SCREENSHOT, SCHEME   where to leave a picture; light or dark
import { chromium } from "playwright-core";

const { BASE_URL, CHROMIUM, TOKEN, QUERY, SCREENSHOT, EXPECT = '"nodes"', SCHEME = "light" } = process.env;
// A debug build on a busy machine needs 3 seconds for the editor.
const PATIENCE_MS = 30_000;
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const base = new URL(BASE_URL ?? "http://127.0.0.1:8080");
const problems = [];
const seen = { requests: 0, sockets: 0, unauthorized: 0 };
// 401 is part of the way only until the right token is there.
let tokenGiven = !TOKEN;

function sameHost(address) {
  const url = new URL(address);
  return ["data:", "blob:"].includes(url.protocol) || url.host === base.host;
}

async function watch(context, page) {
  await context.route(
    (url) => !sameHost(url.href),
    (route) => {
      problems.push(`a request to another host: ${route.request().url()}`);
      return route.abort();
    },
  );
  context.on("request", () => seen.requests++);
  context.on("requestfailed", (request) => {
    // A question that is replaced by a newer one is cancelled by the page itself.
    const why = request.failure()?.errorText;
    if (why !== "net::ERR_ABORTED") problems.push(`no answer: ${request.url()} ${why}`);
  });
  context.on("response", (response) => {
    if (response.status() === 401 && !tokenGiven) seen.unauthorized++;
    else if (response.status() >= 400) problems.push(`HTTP ${response.status()}: ${response.url()}`);
    if (TOKEN && response.url().includes(TOKEN)) problems.push("the token is in an address");
  });
  page.on("websocket", (socket) => {
    seen.sockets++;
    if (!sameHost(socket.url())) problems.push(`a socket to another host: ${socket.url()}`);
    socket.on("socketerror", (error) => problems.push(`socket: ${error}`));
  });
  page.on("pageerror", (error) => problems.push(`uncaught: ${error.stack ?? error}`));
  page.on("console", (message) => {
    const expected = !tokenGiven && message.text().includes("status of 401");
    if (message.type() === "error" && !expected) {
      problems.push(`console: ${message.text()} (${message.location().url})`);
    }
  });
  await page.exposeFunction("reportViolation", (text) => problems.push(`policy violation: ${text}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      window.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`);
    });
  });
}

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
  },
  plain: {
    ready: "#query",
    type: (page, query) => page.getByLabel("Query", { exact: true }).fill(query),
    run: (page) => page.getByLabel("Query", { exact: true }).press("ControlOrMeta+Enter"),
    answer: "#result",
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
    problems.push(`the answer never contained ${EXPECT}; it shows: ${shown}`);
  }
}

async function checkToken(page) {
  const kept = await page.evaluate(() => [Object.values(localStorage), document.cookie].flat().join("\n"));
  if (kept.includes(TOKEN)) problems.push("the token outlives the tab: it is in localStorage or a cookie");
  await page.reload();
  const restored = await page.getByLabel("Bearer token").inputValue();
  if (restored !== TOKEN) problems.push("the token is lost when the page is loaded again");
}

async function journey(page) {
  await page.goto(new URL("/graphiql", base).href);
  const kind = (await page.locator("#graphiql").count()) ? "graphiql" : "plain";
  const { ready, type, run, answer } = PAGES[kind];
  await page.locator(ready).first().waitFor({ timeout: PATIENCE_MS });
  console.log(`page: ${kind}`);
  if (TOKEN) {
    await giveToken(page, "not-a-token-of-this-server");
    await run(page);
    await expectHint(page, "did not accept this token");
    tokenGiven = true;
    await giveToken(page, TOKEN);
  }
  if (QUERY) await type(page, QUERY);
  await run(page);
  await waitForAnswer(page, answer);
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT });
  if (TOKEN) await checkToken(page);
  // Workers and late chunks still load after the first answer.
  await page.waitForLoadState("networkidle");
}

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  headless: true,
  args: [...FLAGS, `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${base.hostname}`],
});
try {
  // A fresh profile: nothing of an earlier run helps or hinders.
  const context = await browser.newContext({ colorScheme: SCHEME });
  const page = await context.newPage();
  await watch(context, page);
  await journey(page);
} catch (error) {
  problems.push(`the journey ended early: ${error.message}`);
} finally {
  await browser.close();
}

console.log(`requests: ${seen.requests}, sockets: ${seen.sockets}, 401 before the token: ${seen.unauthorized}`);
for (const problem of problems) console.error(`FAILED ${problem}`);
if (problems.length === 0) console.log(`ok: ${new URL("/graphiql", base)} answered with ${EXPECT}`);
process.exitCode = problems.length === 0 ? 0 : 1;
