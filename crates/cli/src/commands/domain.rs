//! Which domain a command is about.

use crate::arguments::InDomain;
use crate::exit::Failure;
use control::{Control, Domain};
use sensors::Registry;
use server::Home;

/// A domain: its netmap id and, if it has one, its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) netmap: u32,
    pub(crate) name: Option<String>,
}

impl Chosen {
    /// Where sensors of this domain are known.
    pub(crate) fn registry(&self, home: &Home) -> Registry {
        Registry::of_home(home.dir(), home.control_path(), self.name.clone())
    }
}

/// The domain that the arguments of a sensor name, else that of the settings. A name beside a netmap id names a domain
/// that has none yet.
pub(crate) fn of_sensor(home: &Home, arguments: &InDomain) -> Result<Chosen, Failure> {
    let netmap = match (arguments.netmap, &arguments.domain) {
        (Some(netmap), None) => netmap,
        (None, None) => home.settings()?.netmap,
        (None, Some(name)) => return Ok(named(&known(home)?, name)?.into()),
        (Some(netmap), Some(name)) => {
            let domains = known(home)?;
            if domain(&domains, netmap).is_none_or(|domain| domain.name != *name) {
                // A name that is taken, or another one of this domain, is an error.
                Control::open(&home.control_path())?.add_domain(netmap, name)?;
            }
            return Ok(Chosen { netmap, name: Some(name.clone()) });
        }
    };
    // A database that cannot be read does not stop a sensor.
    let name = match known(home) {
        Ok(domains) => domain(&domains, netmap).map(|domain| domain.name.clone()),
        Err(error) => {
            tracing::error!("The names of domains cannot be read, so clients are not told of one: {error}");
            None
        }
    };
    Ok(Chosen { netmap, name })
}

/// The domain that the arguments of a client name, if they do.
pub(crate) fn of_client(home: &Home, arguments: &InDomain) -> Result<Option<u32>, Failure> {
    let Some(name) = &arguments.domain else { return Ok(arguments.netmap) };
    let found = named(&known(home)?, name)?.netmap;
    match arguments.netmap {
        Some(netmap) if netmap != found => {
            Err(Failure::new(format!("domain \"{name}\" has netmap id {found}, not {netmap}: give one of both")))
        }
        _ => Ok(Some(found)),
    }
}

/// How a domain is shown: its name, else its netmap id.
pub(crate) fn show(domains: &[Domain], netmap: u32) -> String {
    domain(domains, netmap).map_or_else(|| format!("netmap {netmap}"), |domain| domain.name.clone())
}

/// The domains that have names.
pub(crate) fn known(home: &Home) -> Result<Vec<Domain>, Failure> {
    Ok(Control::open(&home.control_path())?.domains()?)
}

fn domain(domains: &[Domain], netmap: u32) -> Option<&Domain> {
    domains.iter().find(|domain| domain.netmap == netmap)
}

fn named(domains: &[Domain], name: &str) -> Result<Domain, Failure> {
    let found = domains.iter().find(|domain| domain.name.eq_ignore_ascii_case(name)).cloned();
    found.ok_or_else(|| {
        let names: Vec<_> = domains.iter().map(|domain| domain.name.as_str()).collect();
        let there = if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) };
        Failure::new(format!(
            "no domain is named \"{name}\" ({there}). \"estreamer domains add N NAME\" names one; --netmap N does without a name"
        ))
    })
}

impl From<Domain> for Chosen {
    fn from(domain: Domain) -> Self {
        Chosen { netmap: domain.netmap, name: Some(domain.name) }
    }
}
