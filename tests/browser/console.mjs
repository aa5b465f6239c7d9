// Runs one scenario of the operator's console, named by the first argument: a file in scenarios/.
//
// BASE_URL   the server
// TOKEN      the token that the tab already has; without it the page has to ask for one, or AUTH is off
import { conclude, guarded } from "./guarded.mjs";

const [name] = process.argv.slice(2);
const base = new URL(process.env.BASE_URL ?? "http://127.0.0.1:8080");
const { default: play, options = {} } = await import(`./scenarios/${name}.mjs`);

const problems = await guarded(base, options, async (page, guard) => {
  // Longer than anything takes on a busy machine.
  page.setDefaultTimeout(60_000);
  await page.addInitScript((token) => {
    if (token && !sessionStorage.getItem("kombo-mirror.token")) sessionStorage.setItem("kombo-mirror.token", token);
  }, process.env.TOKEN ?? "");
  const open = (hash = "#/") => page.goto(new URL(`/${hash}`, base).href);
  await play({ page, guard, open, base });
  await page.evaluate(() => 0);
});
conclude(name, problems);
