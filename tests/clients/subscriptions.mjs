// The npm package graphql-ws against a running server whose data keeps changing:
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node subscriptions.mjs
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const { BASE_URL, TOKEN } = process.env;
const url = `${BASE_URL.replace(/^http/, 'ws')}/graphql/ws`;
const options = { url, webSocketImpl: WebSocket, retryAttempts: 0, lazy: true };
const CHANGES = 'subscription { recordChanged { sequence komboId } }';

const client = (token, more = {}) =>
  createClient({ ...options, connectionParams: { Authorization: `Bearer ${token}` }, ...more });

/** The first results of an operation. */
async function first(client, query, count) {
  const results = [];
  for await (const result of client.iterate({ query })) {
    assert.equal(result.errors, undefined);
    results.push(result.data);
    if (results.length === count) break;
  }
  return results;
}

async function follows() {
  const one = client(TOKEN);
  const [a, b] = await first(one, CHANGES, 2);
  assert.ok(Number(a.recordChanged.sequence) < Number(b.recordChanged.sequence));
  // a query by the same socket, after the subscription was completed by the client
  const [answer] = await first(one, '{ users(first: 1) { nodes { komboId } } }', 2);
  assert.equal(answer.users.nodes.length, 1);
  await one.dispose();
}

async function pings() {
  const pong = new Promise((resolve) => {
    const one = client(TOKEN, {
      keepAlive: 100,
      on: { pong: (received) => received && resolve(one.dispose()) },
    });
    first(one, CHANGES, 1000).catch(() => {});
  });
  await pong;
}

async function refused() {
  const closed = first(client('wrong'), CHANGES, 1);
  await assert.rejects(closed, (event) => event.code === 4403);
}

/** What the package itself would never do. */
async function outOfOrder() {
  const socket = new WebSocket(url, 'graphql-transport-ws');
  socket.on('open', () =>
    socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query: CHANGES } })),
  );
  const code = await new Promise((resolve) => socket.on('close', resolve));
  assert.equal(code, 4401);
}

async function wrong() {
  const one = client(TOKEN);
  const result = first(one, 'subscription { recordChanged { nothingLikeIt } }', 1);
  await assert.rejects(result, (errors) => errors[0].extensions.code === 'BAD_USER_INPUT');
  await one.dispose();
}

for (const check of [follows, pings, refused, outOfOrder, wrong]) {
  await check();
  console.log('ok', check.name);
}
