//! The real program as a process of its own, with real settings and none of this process's environment.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// How long a program may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(10);

/// A running program, killed with this value.
pub(crate) struct Server {
    child: Child,
    /// Where it answers.
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a program that listens on an address and is `ready` after a while.
    ///
    /// # Errors
    /// It ends or does not become ready; its log is named.
    pub(crate) fn start(
        command: &mut Command,
        address: SocketAddr,
        ready: &dyn Fn(SocketAddr) -> bool,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while !ready(address) {
            if let Some(status) = server.child.try_wait()? {
                bail!(
                    "the program ended at once ({status}); see {}",
                    log.display()
                );
            }
            ensure!(
                begun.elapsed() < START_LIMIT,
                "the program is not ready after {} s; see {}",
                START_LIMIT.as_secs(),
                log.display()
            );
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // it may have ended by itself; nothing depends on how it ends
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on the loopback interface that nobody listens on now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A program without the environment of this process: only what finds other programs stays. It ends with this
/// process, however that ends, where there is `setpriv` (util-linux) to say so.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let mut command = if setpriv.exists() {
        let mut command = Command::new(setpriv);
        // it becomes the program, so the process id stays
        command.args(["--pdeathsig", "KILL"]).arg(program.as_ref());
        command
    } else {
        Command::new(program.as_ref())
    };
    command.env_clear();
    for name in ["PATH", "HOME", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}
