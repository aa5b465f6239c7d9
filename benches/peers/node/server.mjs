// A GraphQL server as a good engineer writes it by hand for Node: graphql-js compiled by graphql-jit, one DataLoader
// for each relation and request, prepared statements over pg. It answers the benchmark's queries word for word.
import cluster from 'node:cluster';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import DataLoader from 'dataloader';
import { buildSchema, parse, validate } from 'graphql';
import { compileQuery } from 'graphql-jit';
import pg from 'pg';

const processes = Number(process.env.PROCESSES);
const [host, port] = process.env.LISTEN_ADDR.split(':');
const integration = process.env.INTEGRATION_ID;
const token = `Bearer ${process.env.TOKEN}`;

// a moment stays the text that Postgres sends; a Date would be made only to be written out again
pg.types.setTypeParser(1184, (text) => text.replace(' ', 'T').replace('+00', 'Z'));
pg.types.setTypeParser(20, Number);

let pool;
const names = new Map();
const rows = async (text, values) => {
  let name = names.get(text);
  if (!name) names.set(text, (name = `s${names.size}`));
  return (await pool.query({ name, text, values })).rows;
};

const USER = `u.id AS "komboId", u.first_name AS "firstName", u.last_name AS "lastName", u.work_email AS "workEmail",
  u.status, u.changed_at AS "changedAt"`;
const PROGRESSION = `p.id AS "komboId", p.user_id, p.course_revision_id, p.status, p.enrolled_at AS "enrolledAt",
  p.completed_at AS "completedAt", p.changed_at AS "changedAt"`;
const REVISION = `r.id AS "komboId", r.course_id, r.title, r.status`;
const COURSE = `c.id AS "komboId", c.provider_id, c.current_title AS title`;
const live = (t) => `NOT ${t}.incomplete AND ${t}.missing_since IS NULL AND ${t}.remote_deleted_at IS NULL`;
const CHANGED = `(CASE WHEN p.changed_at IS NULL THEN '-infinity' ELSE p.changed_at END)`;

const byId = (columns, from, t) => async (ids) => {
  const found = await rows(`SELECT ${columns} FROM ${from} ${t} WHERE ${t}.integration_id = $1 AND ${t}.id = ANY($2)`, [
    integration,
    ids,
  ]);
  const each = new Map(found.map((row) => [row.komboId, row]));
  return ids.map((id) => each.get(id) ?? null);
};
const grouped = (ids, found, key) => {
  const each = new Map(ids.map((id) => [id, []]));
  for (const row of found) each.get(row[key]).push(row);
  return ids.map((id) => each.get(id));
};

class Loaders {
  user = new DataLoader(byId(USER, 'users', 'u'));
  revision = new DataLoader(byId(REVISION, 'course_revisions', 'r'));
  course = new DataLoader(byId(COURSE, 'courses', 'c'));
  provider = new DataLoader(byId('v.id AS "komboId", v.name', 'course_providers', 'v'));
  revisionsOfCourse = new DataLoader(async (ids) => {
    const text = `SELECT ${REVISION} FROM course_revisions r
      WHERE r.integration_id = $1 AND r.course_id = ANY($2) AND ${live('r')} ORDER BY r.course_id, r.id`;
    return grouped(ids, await rows(text, [integration, ids]), 'course_id');
  });
  skillsOfRevision = new DataLoader(async (ids) => {
    const text = `SELECT l.course_revision_id AS of, s.id AS "komboId", s.name FROM course_revision_skills l
      JOIN skills s ON s.integration_id = l.integration_id AND s.id = l.skill_id
      WHERE l.integration_id = $1 AND l.course_revision_id = ANY($2) AND ${live('s')}
      ORDER BY l.course_revision_id, s.id`;
    return grouped(ids, await rows(text, [integration, ids]), 'of');
  });
}

const cursor = (...keys) => Buffer.from(JSON.stringify(keys)).toString('base64url');
const keys = (text) => JSON.parse(Buffer.from(text, 'base64url').toString());

class Connection {
  constructor(records, first, cursorOf, count) {
    Object.assign(this, { nodes: records.slice(0, first), more: records.length > first, cursorOf, count });
  }
  edges() {
    return this.nodes.map((node) => ({ node, cursor: this.cursorOf(node) }));
  }
  pageInfo() {
    const last = this.nodes.at(-1);
    return { hasNextPage: this.more, endCursor: last ? this.cursorOf(last) : null };
  }
  async totalCount() {
    return (await this.count())[0].count;
  }
}

const root = {
  user: async ({ komboId }) =>
    (await rows(`SELECT ${USER} FROM users u WHERE u.integration_id = $1 AND u.id = $2`, [integration, komboId]))[0],
  course: (args, { loaders }) => loaders.course.load(args.komboId),
  users: async ({ first, after }) => {
    const text = `SELECT ${USER} FROM users u WHERE u.integration_id = $1 AND u.id > $2 AND ${live('u')}
      ORDER BY u.id LIMIT $3`;
    const found = await rows(text, [integration, after ? keys(after)[0] : '', first + 1]);
    return new Connection(found, first, (user) => cursor(user.komboId));
  },
  courseProgressions: async ({ first, after, filter, orderBy }) => {
    const values = [integration];
    const bind = (value) => `$${values.push(value)}`;
    let from = 'FROM course_progressions p';
    let where = `WHERE p.integration_id = $1 AND ${live('p')}`;
    if (filter?.courseKomboId) {
      from += ' JOIN course_revisions r ON r.integration_id = p.integration_id AND r.id = p.course_revision_id';
      where += ` AND r.course_id = ${bind(filter.courseKomboId.eq)}`;
    }
    if (filter?.status) where += ` AND p.status = ${bind(filter.status.eq)}`;
    const counted = [`SELECT count(*) ${from} ${where}`, [...values]];
    const byChange = orderBy?.field === 'CHANGED_AT';
    if (after && byChange) {
      const [changedAt, id] = keys(after);
      where += ` AND (${CHANGED}, p.id) < (${bind(changedAt)}, ${bind(id)})`;
    } else if (after) {
      where += ` AND p.id > ${bind(keys(after)[0])}`;
    }
    const order = byChange ? `${CHANGED} DESC, p.id DESC` : 'p.id';
    const text = `SELECT ${PROGRESSION} ${from} ${where} ORDER BY ${order} LIMIT ${bind(first + 1)}`;
    const cursorOf = byChange ? (row) => cursor(row.changedAt, row.komboId) : (row) => cursor(row.komboId);
    return new Connection(await rows(text, values), first, cursorOf, () => rows(...counted));
  },
};

const schema = buildSchema(readFileSync(new URL('schema.graphql', import.meta.url), 'utf8'));
const resolve = (type, fields) => {
  for (const [name, resolver] of Object.entries(fields)) schema.getType(type).getFields()[name].resolve = resolver;
};
resolve('Query', Object.fromEntries(Object.entries(root).map(([name, fn]) => [name, (_, args, context) => fn(args, context)])));
resolve('CourseProgression', {
  user: (row, _, { loaders }) => (row.user_id ? loaders.user.load(row.user_id) : null),
  courseRevision: (row, _, { loaders }) => (row.course_revision_id ? loaders.revision.load(row.course_revision_id) : null),
});
resolve('CourseRevision', {
  course: (row, _, { loaders }) => (row.course_id ? loaders.course.load(row.course_id) : null),
  skills: (row, _, { loaders }) => loaders.skillsOfRevision.load(row.komboId),
});
resolve('Course', {
  provider: (row, _, { loaders }) => (row.provider_id ? loaders.provider.load(row.provider_id) : null),
  revisions: async (row, { first }, { loaders }) =>
    new Connection(await loaders.revisionsOfCourse.load(row.komboId), first, (revision) => cursor(revision.komboId)),
});
for (const type of Object.values(schema.getTypeMap()).filter(({ name }) => name.endsWith('Connection'))) {
  resolve(type.name, { edges: (page) => page.edges(), pageInfo: (page) => page.pageInfo(), totalCount: (page) => page.totalCount() });
}

const compiled = new Map();
const prepare = (query) => {
  let known = compiled.get(query);
  if (!known) {
    const document = parse(query);
    const errors = validate(schema, document);
    known = errors.length ? { errors } : compileQuery(schema, document, undefined, { customJSONSerializer: true });
    compiled.set(query, known);
  }
  return known;
};

const answer = async (body) => {
  const { query, variables } = JSON.parse(body);
  const prepared = prepare(query);
  if (prepared.errors) return JSON.stringify({ errors: prepared.errors });
  const result = await prepared.query(undefined, { loaders: new Loaders() }, variables);
  return result.errors ? JSON.stringify(result) : prepared.stringify(result);
};

const handle = (request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    const send = (status, text) => {
      const length = Buffer.byteLength(text);
      response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': length }).end(text);
    };
    if (request.method === 'GET') return send(200, '{}');
    if (request.headers.authorization !== token) return send(401, '{}');
    try {
      return send(200, await answer(Buffer.concat(chunks)));
    } catch (error) {
      return send(500, JSON.stringify({ errors: [{ message: String(error) }] }));
    }
  });
};

if (processes > 1 && cluster.isPrimary) {
  for (let number = 0; number < processes; number += 1) cluster.fork();
} else {
  pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Math.ceil(16 / processes) });
  createServer(handle).listen(Number(port), host);
}
