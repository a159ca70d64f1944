//! `afterpanic`: the command line. One file a verb in `commands/`; everything it does is in the
//! libraries.

mod armed;
mod commands;
mod core_arg;
mod decoders;
mod evidence;
mod exit;
mod frontpage;
mod help;
mod interrupt;
mod logger;
mod near;
mod output;
mod progress;
mod saved;

use clap::FromArgMatches;
use commands::Cli;
use std::io::ErrorKind;
use std::process::ExitCode;

fn main() -> ExitCode {
    // In the VM of a rehearsal this program is PID 1. Its arguments are words of the kernel's command
    // line that the kernel does not know: no verb is among them.
    if rehearse::guest::init::is_pid1() {
        rehearse::guest::init::main();
    }
    // Cores of other machines are read as well.
    analysis::unwind::read_all();
    analysis::disassembly::add(decoders::ALL);
    let command = help::command();
    let matches = command.clone().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    output::color(cli.global.color);
    logger::init(cli.global.verbose, cli.global.quiet);
    let context = cli.global.context();
    let outcome = match cli.verb {
        Some(verb) => verb.run(&context, command),
        None => frontpage::print(&context),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if is_broken_pipe(&error) => exit::Exit::Done.into(),
        Err(error) => {
            let wrong_config = error.downcast_ref::<config::ConfigError>().is_some();
            let text = format!("{error:#}");
            if wrong_config {
                output::complain_in_lines(&text);
                exit::Exit::Usage.into()
            } else {
                output::complain(&text);
                exit::Exit::Failed.into()
            }
        }
    }
}

/// Whether the reader of stdout went away, which is no failure of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        let json = cause
            .downcast_ref::<serde_json::Error>()
            .and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(ErrorKind::BrokenPipe)
    })
}
