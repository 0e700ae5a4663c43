//! `estreamer test`: connect, request, read the first answer, explain any failure.

use super::collect::{unlock, with_environment};
use crate::arguments::OfConfig;
use crate::exit::{Exit, Failure, say};
use collector::config::Config;
use collector::run::Probe;

pub(crate) fn run(arguments: &OfConfig) -> Result<Exit, Failure> {
    // Also before it is enabled.
    let mut config = Config::examine(&arguments.config)?;
    with_environment(&mut config);
    unlock(&mut config)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    let mut failed = 0;
    for server in &config.servers {
        say(format_args!("Connecting to {}:{} with {}", server.host, server.port, server.pkcs12.display()));
        match collector::run::probe(&config, server) {
            Ok(probe) => tell(&probe),
            Err(error) => {
                eprintln!("estreamer: {error}");
                failed += 1;
            }
        }
    }
    match failed {
        0 => Ok(Exit::Done),
        _ if config.servers.len() == 1 => Ok(Exit::Failed),
        _ => Err(Failure::new(format!("{failed} of {} management centers cannot be used", config.servers.len()))),
    }
}

fn tell(probe: &Probe) {
    say(format_args!("Connected to {} ({})", probe.address, probe.tls));
    say(format_args!("Server certificate SHA-256 {}", probe.fingerprint));
    say(format_args!("Received {}", probe.first));
    if !probe.services.is_empty() {
        say(format_args!("Services offered: {}; 6667 is eStreamer", list(&probe.services)));
    }
    say(format_args!("Connection successful"));
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
