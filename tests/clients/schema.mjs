// The schema of a running server, looked over by other people's rules:
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node schema.mjs
// graphql-js: introspection is complete and makes a valid schema, the same as schema.graphql. graphql-schema-linter and
// @graphql-eslint: Relay's rules for connections, edges, page info and arguments; a description on everything.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import eslintGraphql from '@graphql-eslint/eslint-plugin';
import { buildClientSchema, buildSchema, getIntrospectionQuery, lexicographicSortSchema, printSchema, validateSchema } from 'graphql';

const here = dirname(fileURLToPath(import.meta.url));
const file = join(here, '../../schema.graphql');
const { BASE_URL, TOKEN } = process.env;

async function introspection() {
  const query = getIntrospectionQuery({ inputValueDeprecation: true, specifiedByUrl: true });
  const response = await fetch(`${BASE_URL}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = await response.json();
  assert.equal(errors, undefined);
  const schema = buildClientSchema(data);
  assert.deepEqual(validateSchema(schema), []);
  const printed = (schema) => printSchema(lexicographicSortSchema(schema));
  const [live, kept] = [schema, buildSchema(await readFile(file, 'utf8'))].map((one) => printed(one).split('\n'));
  const differs = live.findIndex((line, place) => line !== kept[place]);
  assert.equal(differs, -1, `schema.graphql differs: ${live[differs]} / ${kept[differs]}`);
}

function schemaLinter() {
  const rules = [
    'relay-connection-types-spec',
    'relay-connection-arguments-spec',
    'relay-page-info-spec',
    'deprecations-have-a-reason',
    'enum-values-have-descriptions',
    'enum-values-all-caps',
    'fields-are-camel-cased',
    'fields-have-descriptions',
    'arguments-have-descriptions',
    'input-object-fields-have-descriptions',
    'input-object-values-are-camel-cased',
    'types-are-capitalized',
    'types-have-descriptions',
  ];
  const command = join(here, 'node_modules/.bin/graphql-schema-linter');
  execFileSync(command, ['--rules', rules.join(','), file], { stdio: ['ignore', 'inherit', 'inherit'] });
}

async function eslint() {
  const linter = new ESLint({
    cwd: join(here, '../..'),
    overrideConfigFile: true,
    overrideConfig: [
      {
        files: ['**/*.graphql'],
        plugins: { '@graphql-eslint': eslintGraphql },
        languageOptions: { parser: eslintGraphql.parser, parserOptions: { graphQLConfig: { schema: file } } },
        rules: {
          '@graphql-eslint/relay-arguments': ['error', { includeBoth: false }],
          '@graphql-eslint/relay-connection-types': 'error',
          '@graphql-eslint/relay-edge-types': ['error', { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false }],
          '@graphql-eslint/relay-page-info': 'error',
          '@graphql-eslint/no-unreachable-types': 'error',
          '@graphql-eslint/no-hashtag-description': 'error',
        },
      },
    ],
  });
  const results = await linter.lintFiles([file]);
  const found = results.flatMap((result) => result.messages);
  assert.deepEqual(found.map(({ ruleId, message, line }) => `${line} ${ruleId}: ${message}`), []);
  assert.equal(results.length, 1);
}

for (const check of [introspection, schemaLinter, eslint]) {
  await check();
  console.log('ok', check.name);
}
