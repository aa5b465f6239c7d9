//! The command line. It reads settings, starts one thing, reports how it ended, and holds no other logic.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kombo_mirror::by_hand::{self, SyncOptions};
use kombo_mirror::config::{
    GraphqlSettings, LogFormat, RawSettings, Settings, TraceSettings, log_format, trace_settings,
};
use kombo_mirror::demo::{self, DemoOptions};
use kombo_mirror::graphql::Schema;
use kombo_mirror::health::HealthOptions;
use kombo_mirror::simulator::command::{self, SimulateOptions};
use kombo_mirror::verify::{self, VerifyOptions};
use kombo_mirror::{clock, db, health, serve, trace};

/// A request makes many small allocations on whichever thread runs it, which this allocator is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was built, and from which commit.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("KOMBO_MIRROR_BUILT_FROM"),
    ")"
);

#[derive(Parser)]
#[command(version = VERSION, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What to log, for instance info or kombo_mirror=debug [default: info; of sync: warn]
    #[arg(long, env = "RUST_LOG", global = true)]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve: receive webhooks, keep the mirror fresh, answer GraphQL
    Serve(Box<RawSettings>),
    /// Fetch an integration now, and show how it goes
    Sync(Box<SyncOptions>),
    /// Bring the database schema up to date and end
    Migrate(Box<RawSettings>),
    /// Compare an integration with Kombo; ends with 0 if they are equal, 1 if not, 2 if it cannot be told
    Verify(Box<Verify>),
    /// Try it: a private Postgres, a simulated Kombo and the server, with nothing to set up
    Demo(DemoOptions),
    /// Simulate Kombo
    Simulate(SimulateOptions),
    /// Print the GraphQL schema
    Schema,
    /// Ask a server on this machine how it is; ends with 0 if it is well
    Health(HealthOptions),
}

#[derive(clap::Args)]
struct Verify {
    #[command(flatten)]
    options: VerifyOptions,
    #[command(flatten)]
    settings: RawSettings,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match &cli.command {
        Command::Serve(raw) | Command::Migrate(raw) => Some(&**raw),
        Command::Verify(verify) => Some(&verify.settings),
        Command::Sync(options) => Some(&options.settings),
        _ => None,
    };
    // who watches the progress of a sync wants to see nothing else but what went wrong
    let usual = match &cli.command {
        Command::Sync(_) => "warn",
        _ => "info",
    };
    let filter = cli.log.as_deref().unwrap_or(usual);
    let format = settings.map_or(LogFormat::Text, log_format);
    let traces = settings.map_or_else(TraceSettings::default, trace_settings);
    let log = match trace::start(filter, format, &traces) {
        Ok(log) => log,
        Err(error) => return fail(&error),
    };
    let ended = run(cli.command).await;
    log.finish().await;
    ended.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(raw) => match Settings::check(&raw) {
            Ok(settings) => {
                let problems = Schema::safelist_problems(&settings.graphql).await;
                if !problems.is_empty() {
                    return Ok(refuse(&problems));
                }
                let listener = serve::bind(settings.listen_addr).await?;
                serve::run(settings, listener, serve::stop_on_signal()?).await?;
            }
            Err(problems) => return Ok(refuse(&problems)),
        },
        Command::Sync(options) => match Settings::check_for_sync(&options.settings) {
            Ok(settings) => {
                let stop = serve::stop_on_signal()?;
                if !by_hand::run(&options, &settings, stop).await? {
                    return Ok(ExitCode::FAILURE);
                }
            }
            Err(problems) => return Ok(refuse(&problems)),
        },
        Command::Migrate(raw) => match Settings::check_database_url(&raw) {
            Ok(url) => {
                let applied = db::migrate(&db::pool(&url, 1)?).await?;
                println!("{applied} migrations applied");
            }
            Err(problems) => return Ok(refuse(&problems)),
        },
        Command::Verify(verify) => return Ok(compare(&verify).await),
        Command::Demo(options) => demo::run(options, serve::stop_on_signal()?).await?,
        Command::Simulate(options) => command::run(options, serve::stop_on_signal()?).await?,
        Command::Health(options) => health::run(&options).await?,
        Command::Schema => print!("{}", Schema::new(None, &GraphqlSettings::default()).sdl()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Differences go to the standard output, everything else does not, so that they can be counted.
async fn compare(verify: &Verify) -> ExitCode {
    let settings = match Settings::check_for_sync(&verify.settings) {
        Ok(settings) => settings,
        Err(problems) => return refuse(&problems),
    };
    match verify::run(&settings, &verify.options, &clock::wall()).await {
        Ok(report) => {
            report
                .differences
                .iter()
                .for_each(|difference| println!("{difference}"));
            report.notes.iter().for_each(|note| eprintln!("{note}"));
            ExitCode::from(u8::from(!report.differences.is_empty()))
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Names every wrong setting at once; 2 is what a wrong command line ends with, too.
fn refuse(problems: &[String]) -> ExitCode {
    eprintln!("error: the settings are not usable:");
    for problem in problems {
        eprintln!("  {problem}");
    }
    ExitCode::from(2)
}
