// A Chromium that can reach one server and nothing else, and a page in it that is watched: whatever a person or a closed
// network would stumble over becomes a problem, and a problem fails the test.
//
// CHROMIUM   the browser; without it the usual names are looked for
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const paths = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  const found = process.env.CHROMIUM || paths.find((path) => existsSync(path));
  if (!found) throw new Error("no Chromium found: install one or set CHROMIUM");
  return found;
}

/**
 * Opens the browser with an empty profile, hands `use` a watched page, and returns the problems that were seen.
 * `options` are those of a browser context, such as viewport and colorScheme.
 */
export async function guarded(base, options, use) {
  const problems = [];
  const profile = await mkdtemp(join(tmpdir(), "kombo-mirror-browser-"));
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath: findChromium(),
      headless: true,
      args: [...FLAGS, `--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE ${base.hostname}`],
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    try {
      const page = context.pages()[0] ?? (await context.newPage());
      const guard = new Guard(base, problems);
      await guard.watch(context, page);
      await use(page, guard);
    } catch (error) {
      problems.push(`the journey ended early: ${error.stack ?? error}`);
    } finally {
      await context.close();
    }
  } finally {
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
  return problems;
}

class Guard {
  seen = { requests: 0, sockets: 0 };
  #allowed = [];
  #underway = new Set();
  #whenQuiet = [];

  constructor(base, problems) {
    this.base = base;
    this.problems = problems;
  }

  /** From now on what matches is no problem: a 401 before the token, for instance. */
  allow(...patterns) {
    this.#allowed = patterns;
  }

  /** Waits until every question of the page has its answer: what is allowed no more cannot be an old one's then. */
  quiet() {
    return new Promise((resolve) => {
      this.#whenQuiet.push(resolve);
      this.#answered();
    });
  }

  #answered(request) {
    this.#underway.delete(request);
    if (this.#underway.size > 0) return;
    for (const resolve of this.#whenQuiet.splice(0)) resolve();
  }

  #report(text) {
    if (!this.#allowed.some((pattern) => pattern.test(text))) this.problems.push(text);
  }

  #isOurs(address) {
    const url = new URL(address);
    return ["data:", "blob:"].includes(url.protocol) || url.host === this.base.host;
  }

  async watch(context, page) {
    await context.route(
      (url) => !this.#isOurs(url.href),
      (route) => {
        this.problems.push(`a request to another host: ${route.request().url()}`);
        return route.abort();
      },
    );
    context.on("request", (request) => {
      this.seen.requests++;
      this.#underway.add(request);
    });
    context.on("requestfinished", (request) => this.#answered(request));
    context.on("requestfailed", (request) => {
      this.#answered(request);
      // A question that is replaced by a newer one is cancelled by the page itself.
      const why = request.failure()?.errorText;
      if (why !== "net::ERR_ABORTED") this.#report(`no answer: ${request.url()} ${why}`);
    });
    context.on("response", (response) => {
      if (response.status() >= 400) this.#report(`HTTP ${response.status()}: ${response.url()}`);
    });
    page.on("websocket", (socket) => {
      this.seen.sockets++;
      if (!this.#isOurs(socket.url())) this.problems.push(`a socket to another host: ${socket.url()}`);
      socket.on("socketerror", (error) => this.#report(`socket: ${error}`));
    });
    page.on("pageerror", (error) => this.#report(`uncaught: ${error.stack ?? error}`));
    page.on("console", (message) => {
      const isFault = ["error", "warning", "assert"].includes(message.type());
      if (isFault) this.#report(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    });
    await page.exposeFunction("reportViolation", (text) => this.problems.push(`policy violation: ${text}`));
    await page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        window.reportViolation(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`);
      });
      // The browser's own report of these has no words where the reason is no Error.
      addEventListener("unhandledrejection", ({ reason }) => {
        if (!(reason instanceof Error)) console.error(`unhandled ${reason?.constructor?.name} ${reason?.code} ${reason?.reason}`);
      });
    });
  }
}

/** Prints what was found and ends with the status that says it. */
export function conclude(name, problems) {
  for (const problem of problems) console.error(`FAILED ${problem}`);
  if (problems.length === 0) console.log(`ok: ${name}`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
