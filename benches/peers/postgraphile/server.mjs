// PostGraphile 5 over the mirror's tables, set up as its documentation says. The tables have no foreign keys, so the
// relations are told by smart tags.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { grafserv } from 'postgraphile/grafserv/node';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';
import { jsonPgSmartTags } from 'postgraphile/utils';

const processes = Number(process.env.PROCESSES);
const [host, port] = process.env.LISTEN_ADDR.split(':');

if (processes > 1 && cluster.isPrimary) {
  for (let number = 0; number < processes; number += 1) cluster.fork();
} else {
  const reference = (columns, table) => `(integration_id, ${columns}) references ${table} (integration_id, id)`;
  const relations = {
    course_progressions: [
      `${reference('user_id', 'users')}|@fieldName user`,
      `${reference('course_revision_id', 'course_revisions')}|@fieldName courseRevision`,
    ],
    course_revisions: [`${reference('course_id', 'courses')}|@fieldName course|@foreignFieldName revisions`],
    courses: [`${reference('provider_id', 'course_providers')}|@fieldName provider`],
    course_revision_skills: [
      `${reference('course_revision_id', 'course_revisions')}|@foreignFieldName skillLinks`,
      `${reference('skill_id', 'skills')}|@fieldName skill`,
    ],
  };
  const tables = Object.entries(relations).map(([table, foreignKey]) => [table, { tags: { foreignKey } }]);
  const preset = {
    extends: [PostGraphileAmberPreset],
    // conditions over columns without an index of their own: the mirror's indexes begin with the integration
    disablePlugins: ['PgIndexBehaviorsPlugin'],
    plugins: [jsonPgSmartTags({ version: 1, config: { class: Object.fromEntries(tables) } })],
    pgServices: [
      makePgService({
        connectionString: process.env.DATABASE_URL,
        schemas: ['public', 'peers'],
        pubsub: false,
        poolConfig: { max: Math.ceil(16 / processes) },
      }),
    ],
    grafast: { explain: false },
    grafserv: { graphiql: false, watch: false, maxRequestLength: 1_000_000 },
  };
  const instance = postgraphile(preset);
  if (process.env.PRINT_SCHEMA) {
    const { printSchema } = await import('graphql');
    console.log(printSchema(await instance.getSchema()));
    process.exit(0);
  }
  const server = createServer();
  await instance.createServ(grafserv).addTo(server);
  server.listen(Number(port), host);
}
