// Compresses vite's output into packed/, so that the binary embeds and serves small files without compressing anything.
// index.html stays as it is: a client without gzip shall still read it.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

mkdirSync("packed/assets", { recursive: true });
writeFileSync("packed/index.html", readFileSync("dist/index.html"));
for (const name of readdirSync("dist/assets")) {
  writeFileSync(`packed/assets/${name}`, gzipSync(readFileSync(`dist/assets/${name}`), { level: 9 }));
}
