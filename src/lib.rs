//! A server that keeps a Postgres mirror of Kombo LMS data right and fresh, and serves it through GraphQL.

pub mod clock;
pub mod console;
