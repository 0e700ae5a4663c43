//! One file a command.

mod admin;
mod archive;
mod clean;
mod clients;
mod collect;
mod config_check;
mod config_init;
mod configure;
mod decode;
mod demo;
mod domain;
mod domains;
mod events;
mod hosts;
mod init;
mod manage;
mod manage_status;
mod pause;
mod place;
mod presets;
mod publish;
mod schema;
mod sensor;
mod sensors;
mod server;
mod setup;
mod ssl_test;
mod start;
mod status;
mod stop;
mod store;
mod test;
mod tokens;

pub(crate) use ssl_test::spelled;

use crate::arguments::{Arguments, Command, Config, Control, Operation};
use crate::exit::{Exit, Failure};
use clap::CommandFactory;

/// Runs the command the arguments name.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.command {
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&init),
        Command::Server(server) => server::run(&server),
        Command::Manage(manage) => manage::run(&manage),
        Command::Clients(clients) => clients::run(&clients),
        Command::Admin(admin) => admin::run(&admin),
        Command::Hosts(hosts) => hosts::run(&hosts),
        Command::Sensor(sensor) => sensor::run(&sensor),
        Command::Publish(publish) => publish::run(&publish),
        Command::Tokens(tokens) => tokens::run(&tokens),
        Command::Store(store) => store::run(&store),
        Command::Operation(operation) => operate(operation),
        Command::Control(control) => administer(&control),
        Command::SslTest(ssl_test) => ssl_test::run(&ssl_test),
        Command::Decode(decode) => decode::run(&decode),
        Command::Schema(schema) => schema::run(&schema),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "estreamer", &mut std::io::stdout());
            Ok(Exit::Done)
        }
    }
}

fn operate(operation: Operation) -> Result<Exit, Failure> {
    match operation {
        Operation::Collect(collect) => collect::run(&collect),
        Operation::Test(test) => test::run(&test),
        Operation::Start(start) => start::run(&start),
        Operation::Stop(stop) => stop::run(&stop),
        Operation::Restart(restart) => start::again(&restart),
        Operation::Status(status) => status::run(&status),
        Operation::Setup(setup) => setup::run(&setup),
        Operation::Clean(clean) => clean::run(&clean),
        Operation::Archive(archive) => archive::run(&archive),
        Operation::Config(Config::Check { file }) => config_check::run(&file),
        Operation::Config(Config::Init(init)) => config_init::run(&init),
        Operation::Configure(configure) => configure::run(&configure),
    }
}

fn administer(control: &Control) -> Result<Exit, Failure> {
    match control {
        Control::Events(events) => events::run(events),
        Control::Sensors(sensors) => sensors::run(sensors),
        Control::Domains(domains) => domains::run(domains),
        Control::Pause(pause) => pause::pause(pause),
        Control::Resume(resume) => pause::resume(resume),
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
