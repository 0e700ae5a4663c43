//! One file a command.

mod clients;
mod collect;
mod decode;
mod demo;
mod init;
mod schema;
mod sensor;
mod server;
mod ssl_test;
mod test;

pub(crate) use ssl_test::spelled;

use crate::arguments::{Arguments, Command};
use crate::exit::{Exit, Failure};
use clap::CommandFactory;

/// Runs the command the arguments name.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&init),
        Command::Server(server) => server::run(&server),
        Command::Clients(clients) => clients::run(&clients),
        Command::Sensor(sensor) => sensor::run(&sensor),
        Command::Collect(collect) => collect::run(&collect),
        Command::Test(test) => test::run(&test),
        Command::SslTest(ssl_test) => ssl_test::run(&ssl_test),
        Command::Decode(decode) => decode::run(&decode),
        Command::Schema(schema) => schema::run(&schema),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "estreamer", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}

/// Sets a flag when the command is asked to stop (Ctrl-C, SIGTERM). A second Ctrl-C ends it at once.
pub(crate) fn stop_flag() -> Result<std::sync::Arc<std::sync::atomic::AtomicBool>, Failure> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}
