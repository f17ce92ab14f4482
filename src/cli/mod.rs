//! Arguments → settings → a file for each command → exit status. The only room that prints, and
//! that reads the environment, the clock and the home directory.

mod allow;
mod asking;
mod audit;
mod baseline;
mod completions;
mod config;
mod context;
mod drill;
mod error;
mod exit;
mod history;
mod hook;
#[cfg(unix)]
mod image;
mod input;
mod keys;
mod man;
mod places;
mod progress;
mod purge;
mod range;
mod redact;
mod remembering;
mod reporting;
mod reread;
mod rotate;
mod rules;
mod run;
mod sandbox;
mod scan;
mod settings;
mod staged;
mod verify;
mod verifying;

use clap::{ColorChoice, Parser, Subcommand};

use self::context::Context;
pub use self::exit::Exit;

/// Finds leaked OpenAI API keys in working trees, staged changes, logs and git history.
#[derive(Parser)]
#[command(name = "skewer", version, max_term_width = 100, after_help = exit::HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// When to use colours.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
    /// Print findings and errors, nothing else.
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// A command is a file beside this one and a line in each of the two lists.
#[derive(Subcommand)]
enum Command {
    Scan(scan::Scan),
    History(history::History),
    Staged(staged::Staged),
    Redact(redact::Redact),
    Places(places::Places),
    #[command(subcommand)]
    Hook(hook::Hook),
    Verify(verify::Verify),
    #[command(subcommand)]
    Keys(keys::Keys),
    #[command(subcommand)]
    Rotate(rotate::Rotate),
    Revoke(rotate::Revoke),
    Contain(rotate::Contain),
    Respond(rotate::Respond),
    Drill(drill::Drill),
    Allow(allow::Allow),
    Audit(audit::Audit),
    Baseline(baseline::BaselineCommand),
    Config(config::Config),
    Rules(rules::Rules),
    Sandbox(sandbox::SandboxCommand),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self {
            Self::Scan(command) => command.run(context),
            Self::History(command) => command.run(context),
            Self::Staged(command) => command.run(context),
            Self::Redact(command) => command.run(context),
            Self::Places(command) => command.run(context),
            Self::Hook(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Keys(command) => command.run(context),
            Self::Rotate(command) => command.run(context),
            Self::Drill(command) => command.run(context),
            Self::Revoke(command) => command.run(context),
            Self::Contain(command) => command.run(context),
            Self::Respond(command) => command.run(context),
            Self::Allow(command) => command.run(context),
            Self::Audit(command) => command.run(context),
            Self::Baseline(command) => command.run(context),
            Self::Config(command) => command.run(context),
            Self::Rules(command) => command.run(context),
            Self::Sandbox(command) => command.run(context),
            Self::Completions(command) => command.run(context),
            Self::Man(command) => command.run(context),
        }
    }
}

/// The whole program.
pub fn run() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` are errors to clap, and no failures.
            let failed = error.use_stderr();
            return match error.print() {
                Ok(()) if failed => Exit::CannotRun,
                Ok(()) => Exit::Nothing,
                Err(error) => Exit::from_io(&error).unwrap_or(Exit::CannotRun),
            };
        }
    };
    let context = Context::new(arguments.color, arguments.quiet);
    match arguments.command.run(&context) {
        Ok(exit) => exit,
        Err(error) => error::report(&error, &context),
    }
}
