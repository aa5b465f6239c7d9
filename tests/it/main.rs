//! The integration tests: the whole program against a real Postgres and a simulated Kombo.

mod support;

mod journey;
// the published schema
mod schema;
