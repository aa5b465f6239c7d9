//! The integration tests: the whole program against a real Postgres and a simulated Kombo.

mod support;

mod journey;
// pages, cursors and their limits
mod connections;
// the execution rules of GraphQL
mod graphql;
// every field and relation of the mirrored types
mod records;
// the published schema
mod schema;
