//! A host in words: numbers replaced by their names, ready to be printed.

use std::net::IpAddr;

use serde::Serialize;
use wire::event::address;

use crate::error::Result;
use crate::host::Host;
use crate::map::{Map, mac};

/// A host as commands and the administration API show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// The address it stands under in a list.
    pub address: IpAddr,
    /// All its addresses.
    pub addresses: Vec<IpAddr>,
    /// MAC addresses, confirmed ones first.
    pub macs: Vec<String>,
    /// Host name, else NetBIOS name.
    pub name: Option<String>,
    /// Operating system, as far as anybody knows.
    pub os: Option<String>,
    /// Hops, 0 where nobody told.
    pub hops: u8,
    /// Unix seconds.
    pub first_seen: u32,
    /// Unix seconds.
    pub last_seen: u32,
    /// Servers.
    pub servers: Vec<DescribedServer>,
    /// Client applications.
    pub clients: Vec<DescribedClient>,
    /// Users who were seen on it.
    pub users: Vec<String>,
}

/// A server in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DescribedServer {
    /// Port.
    pub port: u16,
    /// `tcp`, `udp`, or a number.
    pub protocol: String,
    /// Application protocol.
    pub name: Option<String>,
    /// Vendor or product.
    pub vendor: String,
    /// Version.
    pub version: String,
}

/// A client application in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DescribedClient {
    /// Its name, or its number where nobody named it.
    pub name: String,
    /// Version.
    pub version: String,
}

impl Map {
    /// A host in words; `at` is the address it stands under.
    ///
    /// # Errors
    /// [`Error::Database`](crate::Error::Database).
    pub fn describe(&self, at: IpAddr, host: &Host) -> Result<Described> {
        let mut macs: Vec<_> = host.macs.iter().collect();
        macs.sort_by_key(|m| (!m.primary, m.mac));
        let mut servers = Vec::with_capacity(host.servers.len());
        for server in &host.servers {
            servers.push(DescribedServer {
                port: server.port,
                protocol: match server.protocol {
                    6 => "tcp".to_owned(),
                    17 => "udp".to_owned(),
                    other => other.to_string(),
                },
                name: self.known(63, server.application)?,
                vendor: server.vendor.clone(),
                version: server.version.clone(),
            });
        }
        let mut clients = Vec::with_capacity(host.clients.len());
        for client in &host.clients {
            let name = self.known(55, client.application)?;
            let name = name.unwrap_or_else(|| client.application.to_string());
            clients.push(DescribedClient { name, version: client.version.clone() });
        }
        let mut users = Vec::with_capacity(host.users.len());
        for user in &host.users {
            let name = Some(user.name.clone()).filter(|name| !name.is_empty());
            users.push(match name {
                Some(name) => name,
                None => self.known(98, user.id)?.unwrap_or_else(|| user.id.to_string()),
            });
        }
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Ok(Described {
            address: at,
            addresses: host.addresses.iter().map(|a| address(&a.address)).collect(),
            macs: macs.into_iter().map(|m| mac(&m.mac)).collect(),
            name: text(&host.name).or_else(|| text(&host.netbios)),
            os: self.system(host)?,
            hops: host.hops,
            first_seen: host.first_seen,
            last_seen: host.last_seen,
            servers,
            clients,
            users,
        })
    }

    fn known(&self, record: u16, number: u32) -> Result<Option<String>> {
        if number == 0 { Ok(None) } else { self.name(record, number) }
    }
}
