//! User activity: a new user (record 94) and a login (95).

use std::net::IpAddr;

use serde_json::Value;
use wire::event::{Block, Value as Written};
use wire::layout;

use crate::feed::FeedError;

use super::Output;
use super::header::Header;
use super::mapper::Mapper;
use super::mapping::text_at;
use super::text::{clip, number};

/// The most users remembered as seen; anybody can claim any name.
const MAX_USERS: usize = 100_000;

/// User activity, in the discovery event header.
const EVENT_TYPE: u32 = 1004;
const NEW: u32 = 1;
const LOGIN: u32 = 2;

/// Passive authentication: it was seen on the network.
const PASSIVE: u8 = 1;

impl Mapper {
    /// Looks whether a line shows that a user has logged in, and tells it; gives the number of the user.
    pub(super) fn user(
        &mut self,
        event_type: &str,
        line: &Value,
        header: &Header,
        out: &mut Output,
    ) -> Result<Option<u32>, FeedError> {
        let found = self.mapping.user.iter().find(|rule| {
            let said = |(path, value): (&String, &String)| text_at(line, path) == Some(value);
            rule.event == event_type && rule.when.iter().all(said)
        });
        let (Some(rule), Some(ends)) = (found, header.ends) else { return Ok(None) };
        let Some(name) = text_at(line, &rule.name).map(clip) else { return Ok(None) };
        // Computers log in as their account, which ends in a dollar sign.
        if name.ends_with('$') || name.starts_with('<') {
            return Ok(None);
        }
        let domain = rule.domain.as_deref().and_then(|path| text_at(line, path)).map_or("", clip);
        let whole = format!("{}@{}", name.to_lowercase(), domain.to_lowercase());
        let id = number("user", &whole, 1);
        let protocol = self.mapping.application.get(&rule.application).map_or(0, |known| known.server.0);
        let protocol_name = rule.protocol.clone();
        let client = ends.guessed().source;
        self.names.named(63, protocol, &protocol_name, out)?;
        let realm = if domain.is_empty() { 0 } else { number("realm", &domain.to_lowercase(), 1) };
        let known = self.users.contains(&whole);
        let is_new = !known && self.users.len() < MAX_USERS;
        // An archive keeps names for ever. A user beyond the limit still has one, in the login itself.
        if known || is_new {
            self.account(id, protocol, name, out)?;
            if realm != 0 {
                self.names.named(300, realm, domain, out)?;
            }
        }
        if is_new {
            let mut user = block(158)?;
            user.set("userId", id)?.set("username", name)?.set("realmId", realm)?.set("protocol", protocol)?;
            self.activity(94, NEW, header, client, user, out)?;
            self.users.insert(whole.clone());
            self.new_users.push(whole);
        }
        let mut login = block(167)?;
        login.set("userId", id)?.set("username", name)?.set("realmId", realm)?.set("protocol", protocol)?;
        login.set("timestamp", header.time.second)?.set("domain", domain)?;
        login.set("authType", PASSIVE)?.set("reportedBy", &*self.identity.device_name)?;
        login.set("ipv6Address", client)?;
        if let IpAddr::V4(v4) = client {
            login.set("ipv4Address", v4.octets())?;
        }
        self.activity(95, LOGIN, header, client, login, out)?;
        Ok(Some(id))
    }

    fn activity(
        &mut self,
        record: u16,
        subtype: u32,
        header: &Header,
        client: IpAddr,
        user: Block,
        out: &mut Output,
    ) -> Result<(), FeedError> {
        let mut event = self.event(record)?;
        if let Some(discovery) = event.discovery_mut() {
            discovery.set("deviceId", self.identity.device_id)?;
            discovery.set("eventSecond", header.time.second)?.set("eventMicrosecond", header.time.microsecond)?;
            discovery.set("eventType", EVENT_TYPE)?.set("eventSubtype", subtype)?;
            discovery.set("hasIpv6", 1u8)?.set("ipv6Address", client)?;
        }
        event.set("user", Written::Block(user))?;
        out.event(event);
        Ok(())
    }

    /// Record 98: the user's number has a name.
    fn account(&mut self, id: u32, protocol: u32, name: &str, out: &mut Output) -> Result<(), FeedError> {
        let mut record = wire::event::Event::new(98)?;
        record.set("id", id)?.set("protocol", protocol)?.set("username", name)?;
        out.name(record);
        Ok(())
    }
}

fn block(number: u32) -> Result<Block, FeedError> {
    layout::block(1, number).map(Block::new).ok_or(FeedError::Block(number))
}
