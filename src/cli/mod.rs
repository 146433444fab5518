//! The command line: one file a subcommand. A command prints to standard output what it
//! was asked for, and to standard error everything else: questions, progress, failures.

mod bounce;
mod check;
mod client;
mod config;
mod cutover;
mod decide;
mod domains;
mod drop;
mod exit;
mod export;
mod fsck;
mod hold;
mod human;
mod list;
mod mailq;
mod moving;
mod park;
mod pause;
mod release;
mod report;
mod resume;
mod retry;
mod screen;
mod serve;
mod set;
mod show;
mod source;
mod status;
#[cfg(test)]
mod tests;
mod verify;

pub use exit::{Code, Exit};

use crate::config::Config;
use clap::{Args, Parser, Subcommand};
use client::Client;
use screen::Screen;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// Holds a domain's mail durably while its server is being replaced, then releases it to
/// the new server in the order in which it arrived.
#[derive(Parser, Debug)]
#[command(name = "relay", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Args, Debug, Clone)]
pub struct Global {
    /// The configuration [default: /etc/relay/relay.toml, else conf/relay.toml].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON: one document, or a line for each thing listed.
    #[arg(long, global = true)]
    json: bool,
    /// The daemon's control socket [default: control.socket of the configuration].
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the daemon: take mail, keep it, release it.
    Serve(serve::Arguments),
    /// Show each domain: phase, counts, what blocks, the next step.
    Status(status::Arguments),
    /// List the queue in arrival order.
    List(list::Arguments),
    /// Show a message: envelope, states, history, bytes.
    Show(show::Arguments),
    /// Take the mail out into files, without a running daemon too.
    Export(export::Arguments),
    /// Put domains (back) to hold: accept and keep.
    Hold(hold::Arguments),
    /// Deliver what is held, in order, and show it until it is done.
    Release(release::Arguments),
    /// Stop a domain's deliveries in its present phase.
    Pause(pause::Arguments),
    /// Go on after a pause.
    Resume(resume::Arguments),
    /// Show or change how much a domain's destination is asked to take, while it runs.
    Set(set::Arguments),
    /// Send deliveries (again): parked, deferred or in doubt.
    Retry(retry::Arguments),
    /// Set deliveries aside, so that their mailbox's later mail goes on.
    Park(park::Arguments),
    /// Give deliveries up for good.
    Drop(drop::Arguments),
    /// Give deliveries up for good, and report it to their senders (RFC 3464).
    Bounce(bounce::Arguments),
    /// Copy the mailboxes from the old server to the new one over IMAP.
    Move(moving::Arguments),
    /// Compare old server, spool and new server: every message is there, once.
    Verify(verify::Arguments),
    /// The account of the whole cutover, or the check of an earlier one.
    Report(report::Arguments),
    /// The whole move, guided, from the check to the report; goes on after an interruption.
    Cutover(cutover::Arguments),
    /// Look for what would go wrong in the move: DNS, both servers, the spool. Changes nothing.
    Check(check::Arguments),
    /// Recount everything and check every digest; read-only unless --repair.
    Fsck(fsck::Arguments),
    /// Check or print the configuration.
    #[command(subcommand)]
    Config(config::Command),
}

/// What every command gets: the global options, and where to print.
pub struct Context {
    global: Global,
    screen: Screen,
}

/// Carries out a command line, and returns the code to exit with. Failures are on
/// standard error by then.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Code {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Code::Usage
            } else {
                Code::Ok
            };
            // Without standard output or error there is nobody to tell.
            let _ = error.print();
            return code;
        }
    };
    let context = Context {
        screen: Screen::new(cli.global.json),
        global: cli.global,
    };
    match dispatch(&context, cli.command) {
        Ok(()) => Code::Ok,
        Err(error) if exit::is_broken_pipe(&error) => Code::Ok,
        Err(error) => {
            context.screen.failure(&error);
            exit::code(&error)
        }
    }
}

fn dispatch(context: &Context, command: Command) -> anyhow::Result<()> {
    // The daemon and the mover use all processors; a client waits for one answer at a time.
    let mut builder = match command {
        Command::Serve(_) | Command::Move(_) | Command::Cutover(_) | Command::Verify(_) => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    builder.enable_all().build()?.block_on(async {
        match command {
            Command::Serve(arguments) => serve::run(context, arguments).await,
            Command::Status(arguments) => status::run(context, arguments).await,
            Command::List(arguments) => list::run(context, arguments).await,
            Command::Show(arguments) => show::run(context, arguments).await,
            Command::Export(arguments) => export::run(context, arguments).await,
            Command::Hold(arguments) => hold::run(context, arguments).await,
            Command::Release(arguments) => release::run(context, arguments).await,
            Command::Pause(arguments) => pause::run(context, arguments).await,
            Command::Resume(arguments) => resume::run(context, arguments).await,
            Command::Set(arguments) => set::run(context, arguments).await,
            Command::Retry(arguments) => retry::run(context, arguments).await,
            Command::Park(arguments) => park::run(context, arguments).await,
            Command::Drop(arguments) => drop::run(context, arguments).await,
            Command::Bounce(arguments) => bounce::run(context, arguments).await,
            Command::Move(arguments) => moving::run(context, arguments).await,
            Command::Verify(arguments) => verify::run(context, arguments).await,
            Command::Report(arguments) => report::run(context, arguments).await,
            Command::Cutover(arguments) => cutover::run(context, arguments).await,
            Command::Check(arguments) => check::run(context, arguments).await,
            Command::Fsck(arguments) => fsck::run(context, arguments).await,
            Command::Config(command) => config::run(context, command),
        }
    })
}

impl Context {
    /// The file with the configuration.
    fn config_file(&self) -> anyhow::Result<PathBuf> {
        Ok(Config::locate(self.global.config.as_deref())?)
    }

    fn config(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config_file()?)?)
    }

    /// Where the daemon listens; the configuration is only read for it where `--socket`
    /// is not given.
    fn socket(&self) -> anyhow::Result<PathBuf> {
        match &self.global.socket {
            Some(socket) => Ok(socket.clone()),
            None => Ok(self.config()?.control.socket),
        }
    }

    /// The daemon.
    async fn daemon(&self) -> anyhow::Result<Client> {
        let socket = self.socket()?;
        Ok(Client::connect(Path::new(&socket)).await?)
    }
}

#[cfg(test)]
mod arguments {
    use super::*;
    use clap::CommandFactory as _;

    fn code(line: &str) -> Code {
        run(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_64() {
        for line in [
            "relay",
            "relay bounce",
            "relay list --state hold",
            "relay list --format csv",
            "relay show nothing",
            "relay release",
            "relay hold --all corp.example",
            "relay export --format eml",
            "relay retry",
        ] {
            assert_eq!(code(line), Code::Usage, "{line}");
        }
    }

    #[test]
    fn help_is_no_failure() {
        assert_eq!(code("relay --help"), Code::Ok);
        assert_eq!(code("relay release --help"), Code::Ok);
        assert_eq!(code("relay --version"), Code::Ok);
    }

    #[test]
    fn without_a_daemon_it_is_69_and_without_a_configuration_78() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        let absent = absent.display();
        assert_eq!(
            code(&format!("relay status --socket {absent}")),
            Code::Unavailable
        );
        assert_eq!(
            code(&format!("relay list --socket {absent}")),
            Code::Unavailable
        );
        assert_eq!(
            code(&format!("relay status --config {absent}")),
            Code::Config
        );
    }
}
