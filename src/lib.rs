//! A server that keeps a Postgres mirror of Kombo LMS data right and fresh, and serves it through GraphQL.

pub mod auth;
pub mod clock;
pub mod config;
pub mod console;
pub mod db;
pub mod demo;
pub mod embedded;
pub mod graphql;
pub mod http;
pub mod inbox;
pub mod integrations;
pub mod kombo;
pub mod models;
pub mod queue;
pub mod schedule;
pub mod serve;
pub mod simulator;
pub mod sync;
pub mod webhook;
