//! Domains: names of network maps.

use crate::answer::{Answer, Problem};
use crate::app::{App, audit};
use crate::call::Call;
use serde::Deserialize;
use serde_json::{Value, json};

/// The name of the domain that is always there, unless it has another.
const GLOBAL: &str = "Global";

/// Names of domains by netmap id.
pub(crate) struct Names(Vec<(u32, String)>);

impl Names {
    pub(crate) fn read(app: &App) -> Result<Names, Problem> {
        let mut names: Vec<_> = app.control.domains()?.into_iter().map(|d| (d.netmap, d.name)).collect();
        if !names.iter().any(|(netmap, _)| *netmap == 0) {
            names.insert(0, (0, GLOBAL.to_owned()));
        }
        Ok(Names(names))
    }

    /// The name of a netmap; its number if it has none.
    pub(crate) fn of(&self, netmap: u32) -> String {
        let known = self.0.iter().find(|(n, _)| *n == netmap);
        known.map_or_else(|| format!("netmap {netmap}"), |(_, name)| name.clone())
    }
}

pub(crate) fn list(app: &App, _: &Call) -> Result<Answer, Problem> {
    let domains: Vec<Value> = Names::read(app)?.0.iter().map(|(netmap, name)| row(*netmap, name)).collect();
    Ok(Answer::json(&json!({ "domains": domains })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    netmap: u32,
    name: String,
}

pub(crate) fn add(app: &App, call: &Call) -> Result<Answer, Problem> {
    let New { netmap, name } = call.json()?;
    app.control.add_domain(netmap, &name)?;
    audit(&call.who, format_args!("named the domain of netmap {netmap}: {name}"));
    Ok(Answer::created(&row(netmap, &name)))
}

fn row(netmap: u32, name: &str) -> Value {
    json!({ "netmap": netmap, "name": name })
}
