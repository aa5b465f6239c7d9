//! The integration tests: the whole program against a real Postgres and a simulated Kombo.

mod support;

mod journey;
// every field and relation of the mirrored types
mod records;
// the published schema
mod schema;
