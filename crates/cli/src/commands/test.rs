//! `estreamer test`: connect, request, read the first answer, explain any failure.

use super::collect::{unlock, with_environment};
use crate::arguments::OfConfig;
use crate::exit::{Exit, Failure};
use collector::config::Config;

pub(crate) fn run(arguments: &OfConfig) -> Result<Exit, Failure> {
    // Also before it is enabled.
    let mut config = Config::examine(&arguments.config)?;
    with_environment(&mut config);
    unlock(&mut config)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    println!("Connecting to {}:{} with {}", config.server.host, config.server.port, config.server.pkcs12.display());
    let probe = collector::run::probe(&config).map_err(Failure::new)?;
    println!("Connected to {} ({})", probe.address, probe.tls);
    println!("Server certificate SHA-256 {}", probe.fingerprint);
    println!("Received {}", probe.first);
    if !probe.services.is_empty() {
        println!("Services offered: {}; 6667 is eStreamer", list(&probe.services));
    }
    println!("Connection successful");
    Ok(Exit::Done)
}

fn list(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
