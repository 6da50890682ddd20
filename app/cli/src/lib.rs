//! The command line: one file per verb; what they share is how they fail and what they print.
//!
//! Zone: `app`. Links every zone, decides nothing that a zone should decide.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

/// As the standard ones, but that nobody listens any more is no failure: a build whose output
/// goes to `head` ends as any other.
macro_rules! println {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = std::writeln!(std::io::stdout(), $($text)*);
    }};
}
macro_rules! print {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = std::write!(std::io::stdout(), $($text)*);
    }};
}
macro_rules! eprintln {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = std::writeln!(std::io::stderr(), $($text)*);
    }};
}

mod attest;
mod backup;
mod build;
mod cache;
mod chain;
mod client;
mod contest;
mod control;
mod debrpm;
mod doctor;
mod elsewhere;
mod export;
mod failure;
mod folders;
mod given_lock;
mod host;
mod local;
mod lock;
mod mock_facts;
mod options;
mod pages;
mod results;
mod role;
mod shell;
mod sources;
mod target;
mod telemetry;
mod ui;
mod umask;
mod up;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub use failure::Failure;

/// Build RPM packages: safe, exact, reproducible.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100)]
struct Arguments {
    /// Certificates (PEM) of authorities that a service is believed by, besides those of this host
    #[arg(long, global = true, value_name = "FILE", env = "KILN_CA", hide_env_values = true)]
    ca: Option<std::path::PathBuf>,

    #[command(subcommand)]
    verb: Verb,
}

#[allow(clippy::large_enum_variant, reason = "there is one of it in a process")]
#[derive(Debug, Subcommand)]
enum Verb {
    /// Build packages: source packages in, RPMs out
    Build(build::Arguments),
    /// Build something again from its record and tell in what it differs
    Verify(verify::Arguments),
    /// Open a shell in the buildroot that a build would get
    Shell(shell::Arguments),
    /// Write down what a package's buildroot is made of, or tell why a package is in it
    Lock(lock::Arguments),
    /// Show, import and refresh targets: what to build for
    Target(target::Arguments),
    /// Make an RPM distribution out of a Debian suite: for trials, tests and air-gapped sites
    Debrpm(debrpm::Arguments),
    /// Run the service: many packagers, one server
    Up(up::Arguments),
    /// Copy a service's database, blobs, keys and logs into a folder, while it runs
    Backup(backup::Arguments),
    /// Make a service of a backup, where there is none
    Restore(backup::RestoreArguments),
    /// Work for a service, or see after its workers
    Worker(worker::Arguments),
    /// Sign in to a service
    Login(client::accounts::Login),
    /// Say as whom one is signed in, and where
    Whoami(client::accounts::Whoami),
    /// Make and change projects of a service
    Project(client::projects::Arguments),
    /// List the builds of a service
    Builds(client::builds::List),
    /// Show a log of a job, perhaps as it grows
    Log(client::builds::Log),
    /// Cancel a build
    Cancel(client::builds::Cancel),
    /// Submit a job once more
    Resubmit(client::builds::Resubmit),
    /// Take the results of another project's build over, without building it again
    Promote(client::again::Promote),
    /// Build anew what was built with some packages, in order
    RebuildDependants(client::again::RebuildDependants),
    /// Let forges have something built
    Hook(client::hooks::HookArguments),
    /// Tell others what becomes of jobs
    Notify(client::hooks::NotifyArguments),
    /// Fetch what a job made
    Download(client::builds::Download),
    /// Show and check how packages were built
    Attest(attest::Arguments),
    /// Write all that it takes to make a build again into one file
    Export(export::Arguments),
    /// Say what a job's packages are made of, or what a repository holds: SPDX or CycloneDX
    Sbom(client::sbom::Arguments),
    /// Show a repository's snapshots, go back to one, or install from it
    Repo(client::repos::Arguments),
    /// Make and revoke tokens for programs
    Token(client::accounts::TokenArguments),
    /// Make and change accounts
    User(client::accounts::UserArguments),
    /// Show who did what
    Audit(client::operating::Audit),
    /// Show how a service does
    Stats(client::operating::Stats),
    /// Remove what a service keeps and nothing needs; it does so itself from time to time
    Sweep(client::sweep::Arguments),
    /// Show what is kept on this machine, and throw away what nothing needs
    Cache(cache::Arguments),
    /// Try attacks against the jails of this host, and against weakened ones
    Contest(contest::Arguments),
    /// Say what this host offers and lacks, each with the command that mends it
    Doctor(doctor::Arguments),
    /// Print completions for a shell
    Completions(pages::Completions),
    /// Write manual pages to a folder
    Man(pages::Man),
}

/// Runs what the command line asks for; the exit code says whose fault a failure was.
pub fn run() -> ExitCode {
    if let Some(code) = role::run() {
        return code;
    }
    umask::prepare();
    let Arguments { ca, verb } = Arguments::parse();
    if let Err(failure) = ca.as_deref().map_or(Ok(()), client::believe) {
        return failure.print();
    }
    let result = match verb {
        Verb::Build(arguments) => build::run(&arguments),
        Verb::Verify(arguments) => verify::run(&arguments),
        Verb::Shell(arguments) => shell::run(&arguments),
        Verb::Lock(arguments) => lock::run(&arguments),
        Verb::Target(arguments) => target::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Debrpm(arguments) => debrpm::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Up(arguments) => up::run(&arguments),
        Verb::Backup(arguments) => backup::run(&arguments),
        Verb::Restore(arguments) => backup::run_restore(&arguments),
        Verb::Worker(arguments) => worker::run(&arguments),
        Verb::Login(arguments) => client::accounts::login(&arguments),
        Verb::Whoami(arguments) => client::accounts::whoami(&arguments),
        Verb::Project(arguments) => client::projects::run(&arguments),
        Verb::Builds(arguments) => client::builds::list(&arguments),
        Verb::Log(arguments) => client::builds::log(&arguments),
        Verb::Cancel(arguments) => client::builds::cancel(&arguments),
        Verb::Resubmit(arguments) => client::builds::resubmit(&arguments),
        Verb::Promote(arguments) => client::again::promote(&arguments),
        Verb::RebuildDependants(arguments) => client::again::rebuild(&arguments),
        Verb::Hook(arguments) => client::hooks::hooks(&arguments),
        Verb::Notify(arguments) => client::hooks::notify(&arguments),
        Verb::Download(arguments) => client::builds::download(&arguments),
        Verb::Attest(arguments) => attest::run(&arguments),
        Verb::Export(arguments) => export::run(&arguments),
        Verb::Sbom(arguments) => client::sbom::run(&arguments),
        Verb::Repo(arguments) => client::repos::run(&arguments),
        Verb::Token(arguments) => client::accounts::tokens(&arguments),
        Verb::User(arguments) => client::accounts::users(&arguments),
        Verb::Audit(arguments) => client::operating::audit(&arguments),
        Verb::Stats(arguments) => client::operating::stats(&arguments),
        Verb::Sweep(arguments) => client::sweep::run(&arguments),
        Verb::Cache(arguments) => cache::run(&arguments),
        Verb::Contest(arguments) => contest::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Completions(arguments) => Ok(pages::completions(&arguments, Arguments::command())),
        Verb::Man(arguments) => pages::man(&arguments, Arguments::command()),
    };
    result.unwrap_or_else(|failure| failure.print())
}
