// Takes every block of docs/frontend.md that names a file, writes it, and runs it against a running server:
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... ADMIN_TOKEN=... node frontend.mjs [names of files to run]
// Modules (.mjs) and commands (.sh) are run in the order of the page; whatever fails, fails the test.
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../..');
const folder = join(here, '.docs');
const LIMIT_MS = 120_000;

/** Blocks that name a file, one file's blocks put together. */
function files(page) {
  const blocks = page.matchAll(/^```\w+ file=(\S+)\n([\s\S]*?)^```$/gm);
  const found = new Map();
  for (const [, name, text] of blocks) found.set(name, (found.get(name) ?? '') + text);
  return found;
}

const { BASE_URL, TOKEN, ADMIN_TOKEN = 'test-admin' } = process.env;
const environment = {
  PATH: [join(here, 'node_modules/.bin'), process.env.PATH].join(delimiter),
  HOME: process.env.HOME,
  MIRROR_URL: BASE_URL,
  MIRROR_TOKEN: TOKEN,
  MIRROR_ADMIN_TOKEN: ADMIN_TOKEN,
};

async function run(name) {
  const command = name.endsWith('.sh') ? ['sh', ['-e', name]] : ['node', [name]];
  const options = { cwd: folder, env: environment, timeout: LIMIT_MS };
  const { stdout } = await promisify(execFile)(...command, options);
  console.log(`== ${name}\n${stdout}`);
}

const page = await readFile(join(root, 'docs/frontend.md'), 'utf8');
const blocks = files(page);
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
await writeFile(join(folder, 'package.json'), '{ "type": "module" }\n');
await cp(join(root, 'schema.graphql'), join(folder, 'schema.graphql'));
for (const [name, text] of blocks) {
  await mkdir(dirname(join(folder, name)), { recursive: true });
  await writeFile(join(folder, name), text);
}

const only = process.argv.slice(2);
let ran = 0;
for (const name of blocks.keys()) {
  if (!/^\w+\.(mjs|sh)$/.test(name) || (only.length && !only.includes(name))) continue;
  try {
    await run(name);
    ran += 1;
  } catch (error) {
    console.error(`FAILED ${name}\n${error.stdout ?? ''}${error.stderr ?? error}`);
    process.exitCode = 1;
  }
}
if (!only.length && ran < 10) {
  console.error(`only ${ran} blocks were run`);
  process.exitCode = 1;
}
