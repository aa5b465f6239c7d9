//! A server that keeps a Postgres mirror of Kombo LMS data right and fresh, and serves it through GraphQL.

pub mod clock;
pub mod config;
pub mod db;
pub mod embedded;
pub mod inbox;
pub mod integrations;
pub mod kombo;
pub mod models;
pub mod queue;
pub mod simulator;
pub mod sync;
pub mod auth;
pub mod console;
pub mod graphql;
pub mod http;
pub mod schedule;
pub mod serve;
pub mod webhook;
