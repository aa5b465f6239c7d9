//! The integration tests: the whole program against a real Postgres and a simulated Kombo.

mod support;

mod journey;
// pages, cursors and their limits
mod connections;
// the migrated tables
mod database;
// the execution rules of GraphQL
mod graphql;
// routes, statuses and error codes
mod http;
// who may know whom
mod invariants;
// a page of every endpoint, from JSON to GraphQL
mod models;
// what a query costs in SQL
mod planning;
// every field of the mirrored types, and what is hidden
mod records;
// every way from a record to its related records
mod relations;
// connecting to Postgres over TLS
mod tls;
// triggerResync, runs and health
mod resync;
// the published schema
mod schema;
