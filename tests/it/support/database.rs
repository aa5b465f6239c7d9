//! One private Postgres for the whole test program, one database for each test, copied from a migrated
//! template.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use kombo_mirror::db;
use kombo_mirror::embedded::{Options, Postgres};

const TEMPLATE: &str = "template_migrated";

/// The server ends with the test program, whichever way that ends.
static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    in_own_runtime(async {
        let server = Postgres::start(Options {
            settings: vec![("shared_buffers".to_owned(), "128MB".to_owned())],
            ..Options::default()
        })
        .await
        .expect("a private Postgres starts");
        server
            .create_database(TEMPLATE, None)
            .await
            .expect("the template is created");
        let pool = db::pool(&server.url(TEMPLATE).into(), 1).expect("a pool opens");
        db::migrate(&pool).await.expect("the template is migrated");
        pool.close();
        server
    })
});

static NUMBER: AtomicU32 = AtomicU32::new(1);

/// A test's own database; dropped with this value.
pub(crate) struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// A migrated, empty database.
    pub(crate) async fn migrated() -> Self {
        Self::create(Some(TEMPLATE)).await
    }

    /// A database without any table.
    pub(crate) async fn empty() -> Self {
        Self::create(None).await
    }

    async fn create(template: Option<&str>) -> Self {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // the first test to come here starts the server, off the runtime's threads
        let server = tokio::task::spawn_blocking(|| &*SERVER)
            .await
            .expect("the server is there");
        server
            .create_database(&name, template)
            .await
            .expect("a test database is created");
        Self { name }
    }

    pub(crate) fn url(&self) -> String {
        SERVER.url(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        in_own_runtime(async move {
            // what is left over goes with the server
            let _ = SERVER.drop_database(&name).await;
        });
    }
}

/// Runs to the end on a thread of its own: statics and `drop` have no runtime to use.
fn in_own_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let thread = std::thread::spawn(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts")
            .block_on(work)
    });
    thread.join().expect("the work ends")
}
