//! The `estreamer` command.

mod arguments;
mod commands;
mod exit;
mod live;
mod logging;
mod service;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::parse_from(commands::spelled(std::env::args_os()));
    match commands::run(arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            eprintln!("estreamer: {failure}");
            exit::Exit::Failed.into()
        }
    }
}
