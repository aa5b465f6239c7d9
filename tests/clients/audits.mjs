// The audits of GraphQL over HTTP by the people who wrote it, against a running server:
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node audits.mjs
// Every one must be "ok": "notice" and "warn" say that the server may do better.
import { serverAudits } from 'graphql-http';

const { BASE_URL, TOKEN } = process.env;
const url = `${BASE_URL}/graphql`;

/** The audits know of no tokens. */
const fetchFn = (input, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${TOKEN}`);
    return fetch(input, { ...init, headers });
};

const counted = {};
for (const audit of serverAudits({ url, fetchFn })) {
    const result = await audit.fn();
    counted[result.status] = (counted[result.status] ?? 0) + 1;
    if (result.status !== 'ok') {
        console.error(`${result.status} ${audit.id} ${audit.name}: ${result.reason}`);
        process.exitCode = 1;
    }
}
console.log('audits:', counted);
if (!(counted.ok > 50)) {
    console.error('fewer audits than there should be');
    process.exitCode = 1;
}
