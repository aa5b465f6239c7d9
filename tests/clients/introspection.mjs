// What GraphiQL and code generators ask first, by the reference implementation, and whether it understands the answer:
//   BASE_URL=http://127.0.0.1:8080 TOKEN=... node introspection.mjs
import { buildClientSchema, getIntrospectionQuery, validateSchema } from 'graphql';

const { BASE_URL, TOKEN } = process.env;

/** The plain query, and the one with everything that tools may add. */
const everything = {
    descriptions: true,
    specifiedByUrl: true,
    directiveIsRepeatable: true,
    schemaDescription: true,
    inputValueDeprecation: true,
    oneOf: true,
};
for (const options of [undefined, everything]) {
    const response = await fetch(`${BASE_URL}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ query: getIntrospectionQuery(options) }),
    });
    const { data, errors } = await response.json();
    if (errors) {
        throw new Error(JSON.stringify(errors));
    }
    const problems = validateSchema(buildClientSchema(data));
    if (problems.length > 0) {
        throw new Error(problems.map((problem) => problem.message).join('\n'));
    }
}
