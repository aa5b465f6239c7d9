//! A server that keeps a Postgres mirror of Kombo LMS data right and fresh, and serves it through GraphQL.
//!
//! This page is the architecture: the way of the data, the rooms it passes, and the walk of one webhook and
//! of one query. `docs/architecture.md` has the reasons, and the tests that hold what must always be so; the README
//! says how to run it.
//!
//! # The way of the data
//!
//! ```text
//! webhook → inbox → queue → sync → Kombo's pages → models (tables) → GraphQL
//! ```
//!
//! A webhook is only a mark that something changed: it carries no data, it may come twice or never. So the
//! data always comes by fetching. A run fetches one endpoint of one integration, since a moment (delta) or
//! entirely (full), and the watermark of that pair says up to which moment Kombo's changes are in the
//! mirror. What no webhook announced is found by a delta every hour and a full fetch every week. What is to be
//! forgotten is removed about once an hour.
//!
//! # The rooms
//!
//! | room | what happens there | must never |
//! | --- | --- | --- |
//! | `main.rs` | the command line: reads it, starts one thing, reports how it ended | hold logic |
//! | [`config`] | every setting and limit; all wrong ones are named at once | let a default hide elsewhere |
//! | [`serve`] | a server put together, started and stopped in order | decide what is fetched or answered |
//! | [`upgrade`] | old and new versions on one database: who migrates, who waits, who must end | end because the database is away |
//! | [`http`] | all routes in one list, their limits, errors as answers | hold SQL |
//! | [`auth`] | a bearer token or a JWT becomes a [`Viewer`](auth::Viewer) | keep or log the token |
//! | [`webhook`] | the door: checks the signature over the raw bytes, reads the event | know the models, call Kombo |
//! | [`inbox`] | events, each stored once together with what follows from it | answer before the commit |
//! | [`integrations`] | which integrations exist and what Kombo says of them | call Kombo |
//! | [`queue`] | runs: asked for, claimed under a lease, continued at a checkpoint, ended | know Kombo |
//! | [`schedule`] | asks for what nobody announced: first loads, catch-up deltas, full fetches | keep due times in memory |
//! | [`retention`] | removes what is due: deleted integrations, personal fields of absent records, old runs and events | touch a row that is not due, hold a lock for long |
//! | [`sync`] | plan (an event's models → runs) and run (pages → rows → watermark, removals) | name a model; it walks [`models::ALL`] |
//! | [`kombo`] | the client: pages, retries, what an error asks for, how much may be asked | touch the database |
//! | [`budget`] | Kombo's rate limit, shared by all processes with one API key | keep a request waiting for the database, hold the key |
//! | [`models`] | one file per endpoint of Kombo: names, tables, how a record is read, what GraphQL shows | touch network, queue or clock |
//! | [`changes`] | what really changed: the ordered feed | hold a value of a record |
//! | [`live`] | progress and changes, told at once to all who follow them in this process | wait for a follower, poll |
//! | [`graphql`] | the schema put together; a selection becomes one statement | know what a model means |
//! | [`metrics`] | the numbers for Prometheus: what tables say, and what this process counts | show content of a record, let a client choose how many series there are |
//! | [`verify`] | the mirror compared with Kombo, by asking again | write, show content of a record |
//! | [`escapes`] | JSON escapes that Postgres cannot store, replaced | change anything else |
//! | [`db`] | pools, TLS, migrations, the wall between tenants | hold a statement about a table |
//! | [`trace`] | which request or run a log line and a span belong to; how lines look; where spans go | take over a sender's trace, let a value of a record into a line |
//! | [`clock`] | the wall clock | be read anywhere but at the edges |
//! | [`console`] | the operator's console and GraphiQL, served from the binary | hold data or secrets, load from another host |
//! | [`by_hand`] | `kombo-mirror sync`: runs asked for and worked on in the foreground, with their progress | open a door, decide what a fetch does |
//! | [`health`] | `kombo-mirror health`: asks a server on this machine how it is | need a setting beyond the address |
//! | [`simulator`] | a faithful Kombo for demo and tests | be imported by the server's own path |
//! | [`embedded`] | a private Postgres for demo and tests | listen on a network address, leave a server behind |
//! | [`demo`] | simulator, private Postgres and server in one process | be more than composition |
//!
//! Time is a value: functions take `now`, and only the edges ask the clock. SQL stands beside the table it
//! serves, and every migration says why in its first lines.
//!
//! # The walk of a webhook
//!
//! 1. `receive_webhook` in [`http`] takes the body's bytes, at most [`webhook::LARGEST_BODY`].
//!    [`webhook::is_signed`] compares the signature with each secret; without a good one the answer is 401
//!    and nothing is stored. [`webhook::read_event`] reads what it says; only what is no JSON object is
//!    refused, and what cannot be used is stored like everything else.
//! 2. [`inbox::accept`] opens one transaction: it stores the event (a second delivery ends here), registers
//!    an integration it did not know, lets [`sync::plan::runs_for`] turn the changed models into the fewest
//!    fetches that are right, and hands each to [`queue::enqueue`], which adds a run or strengthens the one
//!    that is already waiting. With the commit Postgres notifies every process that works, whose doorbell
//!    wakes its workers, and the answer is 200.
//! 3. [`sync::Engine::work_once`] takes a run by [`queue::claim`]: a lease, and a token that rises with every
//!    claim, so that a worker that was thought dead can write nothing more. The lease is renewed beside the
//!    work by [`queue::heartbeat`].
//! 4. `run::fetch_all` in [`sync`] asks [`kombo::Client::page`] for one page after the other, for a delta
//!    since the watermark less the overlap.
//! 5. Each page is one transaction: [`queue::hold`] proves the lease, [`PageRows`](models::page::PageRows)
//!    and [`PageWrites`](models::store::PageWrites) write the rows that differ, [`queue::checkpoint`]
//!    keeps counters and cursor, and [`changes::append`] tells what changed. Meanwhile the next page is on its way. After a crash another worker goes
//!    on at the cursor.
//! 6. What a full fetch did not show is asked for by its ids first. The transaction of the last page removes
//!    what is really gone, within the limits of the removal guard, moves the watermark to the start of the first request by Kombo's clock, and ends the
//!    run with [`queue::succeed`].
//! 7. What goes wrong has a [`Remedy`](kombo::Remedy): try later, wait for Kombo, begin the enumeration
//!    again, or give up visibly. The watermark stays, so nothing is skipped.
//!
//! # The walk of a query
//!
//! 1. `graphql` in [`http`] asks [`auth::Authenticator`] for the viewer and hands the request to
//!    [`graphql::Schema::admit`], which refuses what is not on the safelist or asks for too much, whatever way it
//!    came: tokens are counted, then the parsed document is measured in one walk.
//! 2. [`graphql::Schema::execute_admitted`] waits for a place in the viewer's line. async-graphql validates;
//!    `query` finds the root field, its table and its arguments.
//!    A document that was valid before is neither parsed nor validated again (`documents`).
//! 3. `plan` walks the selection once, beside the [`Object`](models::object::Object) descriptions of the
//!    models, and writes one SQL statement: columns that were asked for and nothing else, nested lists as
//!    subqueries by index, every value of the request bound, and the viewer's integrations in its condition.
//! 4. `read` runs the statement through [`db::Reads`], for a viewer of some integrations behind the [`db::wall`].
//!    Its only value is a binary record, which the plan's `form` writes as JSON in one pass.
//! 5. Failures get a code; what the database said goes to the log under the request id that the client sees.
//!
//! # The walk of a subscription
//!
//! 1. A client opens a WebSocket at `socket` in [`http`] and says who it is; [`graphql::Schema::follow`] checks what
//!    it asks for as it does a query, and registers a follower in [`live`].
//! 2. The tables tell what moved with the commit that moved it, whichever process it was. One connection of each
//!    process listens, reads what is new of the feed once, and hands it to all followers.
//! 3. A follower that something concerns reads it by a plan as for a query, one statement for all that is new; one
//!    that concerns nobody costs nothing.
//!
//! Comments and tests cite the rules of the sync (`docs/rules.md`) and the failures of others that each of
//! them answers (`docs/failures.md`) by number.

pub mod auth;
pub mod budget;
pub mod by_hand;
pub mod changes;
pub mod clock;
pub mod config;
pub mod console;
pub mod db;
pub mod demo;
pub mod embedded;
pub mod escapes;
pub mod graphql;
pub mod health;
pub mod http;
pub mod inbox;
pub mod integrations;
pub mod kombo;
pub mod live;
pub mod metrics;
pub mod models;
pub mod queue;
pub mod retention;
pub mod schedule;
pub mod serve;
pub mod simulator;
pub mod sync;
pub mod trace;
pub mod upgrade;
pub mod verify;
pub mod webhook;
