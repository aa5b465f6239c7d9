//! The folders of a private Postgres, the user it runs as, and the lock that keeps two servers apart.
//!
//! Why a lock of our own: Postgres decides by the process id in `postmaster.pid`, which after a crash may
//! belong to somebody else (in a container it usually does). The lock is inherited by every server
//! process and thus free exactly when none is left, whatever the file says.

use std::fs::{self, DirBuilder, File, Metadata, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{Error, POLL};

/// Only names the socket file, since no server listens on a network address; the default of clients.
pub(super) const PORT: u16 = 5432;

/// Begins the name of every run folder; the socket folder in a `postmaster.pid` of ours has it too.
const RUN_DIR_PREFIX: &str = "kombo-mirror-";

/// The longest run folder: socket addresses end at 103 bytes on macOS and at 107 on Linux.
const RUN_DIR_MAX_BYTES: usize = 103 - "/.s.PGSQL.5432.lock".len();

/// How long to wait for a server that is ending, as after a `kill -9` of the program that owned it.
const ENDING_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait for one that looks healthy: it may not have noticed the end of its owner yet.
const HEALTHY_LIMIT: Duration = Duration::from_secs(1);

/// The user that the server runs as: ourselves, unless we are root, which Postgres refuses.
#[derive(Clone, Debug)]
pub(super) struct Account {
    drop_to: Option<User>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// Root drops to the owner of the data where there is data already, else to `postgres` or `nobody`.
    pub(super) fn choose(data_dir: Option<&Path>) -> anyhow::Result<Self> {
        // A new file belongs to the effective user; std has no other safe way to ask.
        let uid = tempfile::tempfile()
            .and_then(|file| file.metadata())
            .context("cannot create a temporary file")?
            .uid();
        if uid != 0 {
            return Ok(Self { drop_to: None });
        }
        let owner = data_dir
            .and_then(|dir| fs::metadata(dir.join("PG_VERSION")).ok())
            .filter(|version| version.uid() != 0);
        let user = match owner {
            Some(owner) => User {
                name: format!("number {}", owner.uid()),
                uid: owner.uid(),
                gid: owner.gid(),
            },
            None => {
                let passwd =
                    fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
                ["postgres", "nobody"]
                    .into_iter()
                    .find_map(|name| find_user(&passwd, name))
                    .context("Postgres refuses to run as root, and there is no user postgres or nobody to run it as")?
            }
        };
        Ok(Self {
            drop_to: Some(user),
        })
    }

    pub(super) fn is_root(&self) -> bool {
        self.drop_to.is_some()
    }

    /// For messages about what this user may not do.
    pub(super) fn as_whom(&self) -> String {
        let user = self.drop_to.as_ref();
        user.map_or_else(String::new, |user| format!(" as user {}", user.name))
    }

    /// A command that runs as this user, and that gets nothing of our environment, where secrets may be.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("LC_ALL", "C").current_dir("/");
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(user) = &self.drop_to {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn take_over(&self, dir: &Path) -> anyhow::Result<()> {
        match &self.drop_to {
            Some(user) => chown(dir, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot give {} to user {}", dir.display(), user.name)),
            None => Ok(()),
        }
    }

    fn ensure_reach(&self, dir: &Path) -> anyhow::Result<()> {
        let Some(user) = &self.drop_to else {
            return Ok(());
        };
        for ancestor in dir.ancestors().skip(1) {
            ensure!(
                fs::metadata(ancestor).is_ok_and(|ancestor| user.may_enter(&ancestor)),
                "user {}, whom Postgres runs as instead of root, cannot reach {} because of {}; \
                 choose a folder in /var/tmp or /srv",
                user.name,
                dir.display(),
                ancestor.display()
            );
        }
        Ok(())
    }
}

impl User {
    fn may_enter(&self, dir: &Metadata) -> bool {
        let needed = if dir.uid() == self.uid {
            0o100
        } else if dir.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        dir.mode() & needed != 0
    }
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    // macOS writes the number of `nobody` as -2, which is the same 32 bits.
    let number = |text: &str| match text.strip_prefix('-') {
        Some(digits) => digits.parse::<u32>().ok().map(u32::wrapping_neg),
        None => text.parse().ok(),
    };
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        found.then_some(User {
            name: name.to_owned(),
            uid: number(uid)?,
            gid: number(gid)?,
        })
    })
}

/// Creates the short, private folder of the socket and the log; temporary data lies in it as well.
pub(super) fn create_run_dir(account: &Account) -> anyhow::Result<TempDir> {
    let mut parents = vec![PathBuf::from("/var/tmp"), PathBuf::from("/tmp")];
    if !account.is_root() {
        parents.insert(0, std::env::temp_dir());
    }
    let mut problem =
        anyhow::anyhow!("the names of all temporary folders are too long for a socket");
    for parent in parents {
        if parent.as_os_str().len() + RUN_DIR_PREFIX.len() + 7 > RUN_DIR_MAX_BYTES {
            continue;
        }
        let created = tempfile::Builder::new()
            .prefix(RUN_DIR_PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .with_context(|| format!("cannot create a folder in {}", parent.display()));
        match created {
            Ok(dir) => {
                account.take_over(dir.path())?;
                return Ok(dir);
            }
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// A data folder that nobody else uses.
#[derive(Debug)]
pub(super) struct DataDir {
    pub(super) path: PathBuf,
    /// Held as long as anybody has this file, also by inheritance.
    pub(super) lock: File,
    /// The major version that wrote the folder; `None` for an empty one.
    pub(super) version: Option<u32>,
}

impl DataDir {
    /// Makes the folder ready for a server of `account`, and ours.
    pub(super) async fn claim(dir: &Path, account: &Account) -> anyhow::Result<Self> {
        let path = prepare(dir, account)?;
        let lock = lock(&path).await?;
        // Only with the lock in hand these mean anything: another start may be filling the folder.
        remove_stale_pid_file(&path)?;
        let version = read_version(&path)?;
        Ok(Self {
            path,
            lock,
            version,
        })
    }
}

/// Creates the data folder where it is missing and hands it to the server's user; returns its full name.
fn prepare(dir: &Path, account: &Account) -> anyhow::Result<PathBuf> {
    let dir = absolute(dir).with_context(|| format!("{} is no folder", dir.display()))?;
    let parent = dir.parent().unwrap_or(&dir);
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot create {}", dir.display()));
        }
        _ => {}
    }
    let dir = dir.canonicalize()?;
    account.ensure_reach(&dir)?;
    // A folder with something in it is not ours to take: its owner is right, or Postgres says why not.
    if is_empty(&dir)? {
        account.take_over(&dir)?;
    }
    Ok(dir)
}

fn is_empty(dir: &Path) -> anyhow::Result<bool> {
    let mut entries =
        fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    Ok(entries.next().is_none())
}

fn read_version(data_dir: &Path) -> anyhow::Result<Option<u32>> {
    match fs::read_to_string(data_dir.join("PG_VERSION")) {
        Ok(version) => Ok(Some(version.trim().parse().with_context(|| {
            format!("PG_VERSION in {} is unreadable", data_dir.display())
        })?)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(
                is_empty(data_dir)?,
                "the folder {} is neither empty nor a Postgres data folder; name another one",
                data_dir.display()
            );
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", data_dir.display())),
    }
}

/// Locks the data folder, and waits for a server that is about to leave it.
async fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let dir =
        File::open(data_dir).with_context(|| format!("cannot read {}", data_dir.display()))?;
    let begun = Instant::now();
    loop {
        match dir.try_lock() {
            Ok(()) => return Ok(dir),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", data_dir.display()));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let other = PidFile::read(data_dir);
        let ending = other.as_ref().is_none_or(|file| !file.ready);
        let limit = if ending { ENDING_LIMIT } else { HEALTHY_LIMIT };
        if begun.elapsed() >= limit {
            return Err(Error::InUse {
                dir: data_dir.to_owned(),
                pid: other.map(|file| file.pid),
            }
            .into());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Removes what a crashed server of ours left. A foreign one's file stays: Postgres judges that itself.
fn remove_stale_pid_file(data_dir: &Path) -> anyhow::Result<()> {
    let ours = PidFile::read(data_dir).is_some_and(|file| {
        file.socket_dir
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(RUN_DIR_PREFIX))
    });
    if ours {
        fs::remove_file(data_dir.join("postmaster.pid"))
            .with_context(|| format!("cannot remove postmaster.pid in {}", data_dir.display()))?;
    }
    Ok(())
}

/// What `postmaster.pid` says; the lines are fixed in Postgres' `miscadmin.h`.
struct PidFile {
    pid: u32,
    socket_dir: PathBuf,
    ready: bool,
}

impl PidFile {
    fn read(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().collect();
        Some(Self {
            pid: lines.first()?.trim().parse().ok()?,
            socket_dir: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
            ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name_and_negative_numbers_wrap() {
        let passwd = "# comment\npostgresql:x:7:7::/:/bin/sh\npostgres:x:101:104:a,b:/:/bin/sh\nnobody:*:-2:-2:U:/:/no\n";
        let numbers = |name| find_user(passwd, name).map(|user| (user.uid, user.gid));
        assert_eq!(numbers("postgres"), Some((101, 104)));
        assert_eq!(numbers("nobody"), Some((u32::MAX - 1, u32::MAX - 1)));
        assert_eq!(numbers("root"), None);
    }

    #[test]
    fn a_foreign_pid_file_is_left_to_postgres() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("postmaster.pid");
        fs::write(
            &file,
            "1\n/data\n0\n5432\n/var/run/postgresql\n\n\nready   \n",
        )
        .unwrap();
        remove_stale_pid_file(dir.path()).unwrap();
        assert!(file.exists());
        fs::write(
            &file,
            "1\n/data\n0\n5432\n/tmp/kombo-mirror-abc\n\n\nready   \n",
        )
        .unwrap();
        remove_stale_pid_file(dir.path()).unwrap();
        assert!(!file.exists());
    }
}
