//! The integration tests: the whole program against a real Postgres and a simulated Kombo.

mod support;

/// Who asks: tokens and JWTs.
mod auth;
/// The console and the query page in a real browser.
mod browser;
/// Kombo's rate limit, shared by all processes.
mod budget;
/// The command line's own fetches.
mod by_hand;
/// The change feed.
mod changes;
/// The API as the clients of others use it.
mod clients;
/// What the pages ask of the API.
mod console;
/// Random lives of several integrations, and always the truth at the end.
mod convergence;
/// What a crash leaves behind.
mod crash;
/// What leaves the mirror, and what must not.
mod deletions;
/// Random requests, and what a plain execution says.
mod differential;
/// What is never logged.
mod discretion;
/// What the pages for people link to and name.
mod docs;
/// What admins see of the inbox.
mod events;
/// A standby takes the place of a dead primary.
mod failover;
/// Every fault on every page of every endpoint.
mod fault_matrix;
/// Kombo fails in every way it can.
mod faults;
/// docs/frontend.md, run; and the schema, looked over by other people's rules.
mod frontend;
/// What the removal guard keeps.
mod guard;
/// Records that are not what the documentation says.
mod hostile;
mod joining;
mod journey;
/// Kombo keeps every promise, and is hard to follow.
mod liars;
/// What Kombo says of an integration when it is asked.
mod life;
/// What can be done to an integration's life and to single runs.
mod mutations;
/// What webhooks say of an integration beside changed data.
mod news;
/// The door through which GraphQL reads.
mod reads;
/// Connections that quick statements share.
mod shared;
/// One trace from a webhook to the SQL.
mod traces;
// pages, cursors and their limits
mod connections;
/// What filters and orders mean.
mod filters;
/// An index behind every filter and order.
mod indexes;
/// What lists refuse, and what is no list.
mod lists;
/// Lists of what is no mirrored record.
mod own_lists;
/// What is asked for, in odd combinations.
mod selections;
// the migrated tables
mod database;
// the execution rules of GraphQL
mod graphql;
// routes, statuses and error codes
mod http;
/// What a request may ask for.
mod limits;
/// GraphQL over HTTP, by the letter.
mod over_http;
/// The only operations that may run.
mod safelist;
// who may know whom
mod invariants;
/// The numbers for Prometheus.
mod metrics;
// a page of every endpoint, from JSON to GraphQL
mod models;
// what a query costs in SQL
mod planning;
// every field of the mirrored types, and what is hidden
mod records;
// every way from a record to its related records
mod relations;
/// Who sees what.
mod tenants;
// connecting to Postgres over TLS
/// What is followed live.
mod subscriptions;
mod tls;
// triggerResync, runs and health
mod resync;
/// What leaves the database for good.
mod retention;
// the published schema
/// What a build knows of its commit.
mod commit;
/// Postgres goes away and comes back.
mod outage;
/// The mirror on partitioned tables.
mod partitions;
/// The program itself: settings, signals, a kill.
mod process;
/// What holds for every input.
mod properties;
/// Who works on what.
mod queue;
/// Full fetches that change nothing, and those that repair.
mod repair;
/// Several processes on one database.
mod replicas;
/// What a backup from before brings back.
mod restore;
/// Secrets old and new.
mod rotation;
mod schema;
/// docs/settings.md and the files that name settings.
mod settings;
/// Reading from standbys.
mod standby;
/// How a server ends.
mod stopping;
/// From a first load to what a webhook brings.
mod sync;
/// Old and new versions on one database.
mod upgrades;
/// Comparing the mirror with Kombo from outside.
mod verify;
/// How a worker hears of a run.
mod wakeup;
/// How far the next fetch goes back.
mod watermark;
/// The door for Kombo's events.
mod webhook;
