//! Lists the built console and builds GraphiQL with Node, and hands both to `src/console/mod.rs` as generated Rust files.
//!
//! The console needs no Node: what is in `operator/built/` is embedded as it is. Building GraphiQL must never fail
//! a cargo build because of Node: without Node, without the npm registry or after an npm error it prints one warning
//! with the remedy, and the binary serves the plain query page instead.
//! npm works in OUT_DIR only; the source tree is never written to.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo speaks to build scripts through environment variables; no setting of the server is read here"
)]

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `plain` skips npm; any other new value makes cargo run this script again.
const CHOICE: &str = "KOMBO_MIRROR_GRAPHIQL";

/// What vite reads, below `src/console/`. Listed one by one, so that a `node_modules` of somebody who runs vite by hand
/// is neither copied nor watched. The folders stay side by side: `main.jsx` imports the token bar from `plain/`.
const SOURCES: &[&str] = &[
    "graphiql/index.html",
    "graphiql/pack.js",
    "graphiql/package-lock.json",
    "graphiql/package.json",
    "graphiql/src/main.jsx",
    "graphiql/src/page.css",
    "graphiql/vite.config.js",
    "plain/examples.js",
    "plain/token.css",
    "plain/token.js",
];

/// What Vite made of the console, committed.
const CONSOLE: &str = "src/console/operator/built";

/// The first `npm ci` downloads about 60 MB; a build that hangs longer than this on a bad network gives up.
const NPM_CI_LIMIT: Duration = Duration::from_secs(180);
/// vite needs 3 seconds on two idle cores.
const VITE_LIMIT: Duration = Duration::from_secs(120);
/// How often a running npm is looked at; short against its seconds.
const POLL: Duration = Duration::from_millis(50);

pub(crate) fn main() {
    println!("cargo:rerun-if-changed=src/console/build.rs");
    println!("cargo:rerun-if-env-changed={CHOICE}");
    println!("cargo:rerun-if-changed={CONSOLE}");
    for source in SOURCES {
        println!("cargo:rerun-if-changed=src/console/{source}");
    }

    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let console = console().expect("the built console is committed beside its sources");
    fs::write(out.join("console.rs"), console).expect("OUT_DIR is writable");
    let site = if std::env::var(CHOICE).is_ok_and(|choice| choice == "plain") {
        None
    } else {
        bundle(&out.join("console")).map_err(warn).ok()
    };
    let code = site.unwrap_or_else(|| "None".to_owned());
    fs::write(out.join("graphiql.rs"), code).expect("OUT_DIR is writable");
}

/// The Rust expression for the console.
fn console() -> io::Result<String> {
    let built = std::env::current_dir()?.join(CONSOLE);
    let site = site(&built, "/console", "Hashed")?;
    Ok(format!(
        "Site {{ paths: &[\"/\"], policy: CONSOLE_POLICY, {site} }}\n"
    ))
}

fn warn(reason: String) {
    println!(
        "cargo:warning=/graphiql will be a plain query page: {reason}. For GraphiQL install Node.js 20.19 or newer, \
         let npm reach its registry and build again with {CHOICE}=full; {CHOICE}=plain skips the attempt."
    );
}

/// Returns the Rust expression for the built site, or why there is none.
fn bundle(work: &Path) -> Result<String, String> {
    let graphiql = work.join("graphiql");
    let result = copy_sources(work)
        .map_err(|error| {
            format!(
                "the sources cannot be copied to {}: {error}",
                work.display()
            )
        })
        .and_then(|()| {
            let ci = [
                "ci",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--prefer-offline",
                "--fetch-retries=1",
            ];
            npm(&graphiql, &ci, NPM_CI_LIMIT)?;
            npm(&graphiql, &["run", "build"], VITE_LIMIT)?;
            let site = site(&graphiql.join("packed"), "/graphiql", "Packed")
                .map_err(|error| format!("the built files cannot be read: {error}"))?;
            Ok(format!(
                "Some(Site {{ paths: GRAPHIQL_PATHS, policy: GRAPHIQL_POLICY, {site} }})\n"
            ))
        });
    // 250 MB that nobody needs again: npm has its own cache for the next time. What cannot be removed only costs disk.
    let _ = fs::remove_dir_all(graphiql.join("node_modules"));
    let _ = fs::remove_dir_all(graphiql.join("dist"));
    result
}

fn copy_sources(work: &Path) -> io::Result<()> {
    if work.exists() {
        fs::remove_dir_all(work)?;
    }
    for source in SOURCES {
        let to = work.join(source);
        fs::create_dir_all(to.parent().unwrap_or(work))?;
        fs::copy(Path::new("src/console").join(source), to)?;
    }
    Ok(())
}

fn npm(folder: &Path, arguments: &[&str], limit: Duration) -> Result<(), String> {
    let shown = format!("`npm {}`", arguments[0]);
    let log_path = folder.join(format!("npm-{}.log", arguments[0]));
    let log = || {
        fs::File::options()
            .create(true)
            .append(true)
            .open(&log_path)
    };
    let failed = |error: io::Error| format!("{shown} cannot run: {error}");

    let mut child = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(log().map_err(failed)?)
        .stderr(log().map_err(failed)?)
        .spawn()
        .map_err(failed)?;
    let begun = Instant::now();
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(_) => return Err(format!("{shown} failed: {}", first_error(&log_path))),
            None if begun.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "{shown} took longer than {} seconds",
                    limit.as_secs()
                ));
            }
            None => sleep(POLL),
        }
    }
}

/// A cargo warning is one line: the first error of the log, and where the log is.
fn first_error(log_path: &Path) -> String {
    let log = fs::read_to_string(log_path).unwrap_or_default();
    let line = log
        .lines()
        .find(|line| line.to_lowercase().contains("error"))
        .unwrap_or("no error named");
    format!("{} (see {})", line.trim(), log_path.display())
}

/// The page and the list of the files of a built site, as members of a Rust struct expression.
fn site(folder: &Path, prefix: &str, form: &str) -> io::Result<String> {
    let mut names = fs::read_dir(folder.join("assets"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    let mut assets = String::new();
    for name in names {
        let content_type = content_type(&name)?;
        let file = folder.join("assets").join(&name);
        assets += &format!(
            "    Asset {{ path: \"{prefix}/assets/{name}\", content_type: {content_type:?}, form: Form::{form}, \
             body: include_bytes!({file:?}) }},\n"
        );
    }
    let page = folder.join("index.html");
    fs::metadata(&page)?;
    Ok(format!(
        "page: include_str!({page:?}), assets: &[\n{assets}]"
    ))
}

fn content_type(name: &str) -> io::Result<&'static str> {
    match Path::new(name).extension().and_then(OsStr::to_str) {
        Some("js") => Ok("text/javascript; charset=utf-8"),
        Some("css") => Ok("text/css; charset=utf-8"),
        Some("ttf") => Ok("font/ttf"),
        Some("svg") => Ok("image/svg+xml"),
        _ => Err(io::Error::other(format!(
            "no content type is known for {name}"
        ))),
    }
}
