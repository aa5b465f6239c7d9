// Fails when `built/`, which is committed and embedded, is not what the sources make: somebody changed one without the
// other. The remedy is `npm run build`.
import { readdirSync, readFileSync } from "node:fs";

function files(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath}/${entry.name}`);
  return new Map(names.sort().map((name) => [name.slice(folder.length + 1), readFileSync(name, "utf8")]));
}

const [committed, fresh] = [files("built"), files("dist")];
const names = new Set([...committed.keys(), ...fresh.keys()]);
const differing = [...names].filter((name) => committed.get(name) !== fresh.get(name));
for (const name of differing) console.error(`built/${name} is not what the sources make`);
if (differing.length > 0) {
  console.error("run `npm run build` in src/console/operator and commit built/");
  process.exitCode = 1;
} else {
  console.log(`built/ is what the sources make: ${[...names].join(", ")}`);
}
