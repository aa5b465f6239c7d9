//! What the tests start, and the verbs they speak in.
//!
//! Nothing here is replaced by a stand-in: databases are real, HTTP is real, only Kombo is simulated, at its
//! HTTP edge. A test waits for conditions or steps the workers itself; it never sleeps for a time.

pub(crate) mod app;
pub(crate) mod cluster;
pub(crate) mod collector;
pub(crate) mod database;
pub(crate) mod front;
pub(crate) mod log;
pub(crate) mod look;
pub(crate) mod maker;
pub(crate) mod reading;
pub(crate) mod reference;
pub(crate) mod sdl;
pub(crate) mod socket;
pub(crate) mod statements;
pub(crate) mod truth;
pub(crate) mod walk;
pub(crate) mod world;

pub(crate) use app::TestApp;
