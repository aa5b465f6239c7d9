//! Connecting to a Postgres that accepts nothing but TLS over the network.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use kombo_mirror::db;
use kombo_mirror::embedded::{Options, Postgres};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

const HOST: &str = "db.example";

/// An address of this machine that no other Postgres uses: the port is always the same.
fn address() -> String {
    if cfg!(target_os = "linux") {
        let [high, low] = u16::try_from(std::process::id() % 65_000)
            .expect("small")
            .to_be_bytes();
        format!("127.83.{high}.{low}")
    } else {
        "127.0.0.1".to_owned()
    }
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

fn authority() -> Authority {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Authority {
        issuer: Issuer::new(params, key),
        certificate,
    }
}

/// Gives the server a certificate and closes every other door than TLS and its own socket.
fn equip(data: &Path, authority: &Authority) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![HOST.to_owned()]).expect("parameters");
    let certificate = params
        .signed_by(&key, &authority.issuer)
        .expect("a certificate");
    let owner = fs::metadata(data).expect("the data folder");
    for (name, text) in [
        ("server.crt", certificate.pem()),
        ("server.key", key.serialize_pem()),
        (
            "pg_hba.conf",
            "local all all trust\nhostssl all all 127.0.0.0/8 trust\n".to_owned(),
        ),
    ] {
        let path = data.join(name);
        fs::write(&path, text).expect("a file is written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is made private");
        chown(&path, Some(owner.uid()), Some(owner.gid())).expect("it is given to the server");
    }
}

async fn connect(url: &str) -> Result<(), String> {
    let pool = db::pool(&url.into(), 1).map_err(|error| format!("{error:#}"))?;
    let mut connection = pool.get().await.map_err(|error| error.to_string())?;
    connection
        .batch_execute("SELECT 1")
        .await
        .map_err(|error| error.to_string())
}

async fn server(authority: &Authority, address: &str) -> Postgres {
    let server = Postgres::start(Options {
        settings: vec![("listen_addresses".to_owned(), address.to_owned())],
        ..Options::default()
    })
    .await
    .expect("a private Postgres starts");
    equip(server.data_dir(), authority);
    let pool = db::pool(&server.url("postgres").into(), 1).expect("a pool");
    let mut connection = pool.get().await.expect("its own socket is open");
    for sql in ["ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"] {
        connection.batch_execute(sql).await.expect("it obeys");
    }
    server
}

fn written(folder: &Path, name: &str, authority: &Authority) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, &authority.certificate).expect("a file is written");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sslmode_does_what_libpq_says() {
    let ours = authority();
    let address = address();
    let _server = server(&ours, &address).await;
    let folder = tempfile::tempdir().expect("a folder");
    let root = written(folder.path(), "ours.pem", &ours);
    let other_root = written(folder.path(), "other.pem", &authority());
    let url = |host: &str, rest: String| {
        format!("postgres://postgres@{host}/postgres?hostaddr={address}&{rest}")
    };
    let mode = |mode: &str| url(HOST, format!("sslmode={mode}"));
    let verified =
        |mode: &str, root: &Path| format!("sslmode={mode}&sslrootcert={}", root.display());

    // the server takes its new settings up in its own time
    let ready = async {
        while connect(&mode("require")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, ready)
        .await
        .expect("require connects");

    let refused = connect(&mode("disable"))
        .await
        .expect_err("disable is refused");
    assert!(refused.contains("no encryption"), "{refused}");
    connect(&mode("prefer")).await.expect("prefer connects");
    connect(&url(HOST, verified("verify-full", &root)))
        .await
        .expect("the right name and root");
    connect(&url(HOST, verified("verify-ca", &root)))
        .await
        .expect("the right root");
    for (host, root, reason) in [
        (HOST, &other_root, "invalid peer certificate"),
        ("other.example", &root, "not valid for name"),
    ] {
        let refused = connect(&url(host, verified("verify-full", root)))
            .await
            .expect_err("the certificate is refused");
        assert!(refused.contains(reason), "{refused}");
    }
    let refused = connect(&mode("verify-full")).await;
    assert!(
        refused.is_err(),
        "the machine's own roots know nothing of this server"
    );
}
