//! What lines tell of hosts and no record can say, for the network map.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;

use netmap::{Fact, Sighting, Sightings, Software};
use serde_json::Value;

use super::header::Header;
use super::mapping::{Mapping, at, text_at, uint_at};
use super::text::clip;

/// Clients of DHCP whose names are remembered until they have an address.
const CLIENTS: usize = 4096;

/// The way of a sensor to the network map.
#[derive(Debug)]
pub(super) struct Sighted {
    sightings: Sightings,
    device: u32,
    /// Host name and vendor class of who asks for an address, oldest first in the queue.
    asking: HashMap<[u8; 6], (String, String)>,
    order: VecDeque<[u8; 6]>,
}

impl Sighted {
    pub(super) fn new(map: &Path, netmap: u32, device: u32) -> Sighted {
        Sighted { sightings: Sightings::new(map, netmap), device, asking: HashMap::new(), order: VecDeque::new() }
    }

    /// Hands over what was seen.
    pub(super) fn commit(&mut self) {
        self.sightings.commit();
    }

    /// Looks what a line tells.
    pub(super) fn line(&mut self, event_type: &str, line: &Value, header: &Header, mapping: &Mapping) {
        if matches!(event_type, "flow" | "alert" | "drop") {
            self.frames(line, header);
        }
        let second = header.time.second;
        match event_type {
            "arp" => {
                let end = |ip, hw| Some((address(line, ip)?, mac(text_at(line, hw)?)?));
                if let Some((host, mac)) = end("arp.src_ip", "arp.src_mac") {
                    self.tell(host, second, Fact::Arp { mac });
                }
                // Who is answered has told before who it is; who is asked for need not be there.
                let reply = text_at(line, "arp.opcode") == Some("reply");
                if let Some((host, mac)) = end("arp.dest_ip", "arp.dest_mac").filter(|_| reply) {
                    self.tell(host, second, Fact::Arp { mac });
                }
            }
            "dhcp" => self.dhcp(line, second),
            "ssh" | "http" | "http2" | "smb" => self.software(event_type, line, header, mapping),
            _ => {}
        }
    }

    /// MAC addresses, where Suricata logs them (`ethernet: yes`). Those of routed packets are a router's, which the map finds
    /// out. Before Suricata 7.0.6 the addresses in lines of application protocols may be exchanged (its issue 6405), so they
    /// are taken of flows and packets alone, which have them the right way round.
    fn frames(&mut self, line: &Value, header: &Header) {
        let (Some(ends), Some(_)) = (header.ends, at(line, "ether")) else { return };
        for (host, one, some) in
            [(ends.source, "ether.src_mac", "ether.src_macs"), (ends.destination, "ether.dest_mac", "ether.dest_macs")]
        {
            // A flow has a list; with more than one in it nobody knows which is the host's.
            let list = at(line, some).and_then(Value::as_array).filter(|list| list.len() == 1);
            let text = text_at(line, one).or_else(|| list.and_then(|list| list.first()?.as_str()));
            if let Some(mac) = text.and_then(mac) {
                self.tell(host, header.time.second, Fact::Frame { mac });
            }
        }
    }

    fn dhcp(&mut self, line: &Value, second: u32) {
        let Some(client) = text_at(line, "dhcp.client_mac").and_then(mac) else { return };
        let text = |path| text_at(line, path).map(|text| clip(text).to_owned()).unwrap_or_default();
        let (name, class) = (text("dhcp.hostname"), text("dhcp.vendor_class_identifier"));
        if !name.is_empty() || !class.is_empty() {
            if self.asking.insert(client, (name, class)).is_none() {
                self.order.push_back(client);
            }
            if self.order.len() > CLIENTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.asking.remove(&oldest);
            }
        }
        if text_at(line, "dhcp.dhcp_type") != Some("ack") {
            return;
        }
        // Who only asks for options keeps the address it has.
        let given = address(line, "dhcp.assigned_ip").filter(|ip| !ip.is_unspecified());
        let Some(host) = given.or_else(|| address(line, "dhcp.client_ip").filter(|ip| !ip.is_unspecified())) else {
            return;
        };
        let lease = uint_at(line, "dhcp.lease_time").and_then(|lease| u32::try_from(lease).ok()).unwrap_or(0);
        self.tell(host, second, Fact::Dhcp { mac: client, lease });
        if let Some((name, class)) = self.asking.remove(&client) {
            self.order.retain(|other| *other != client);
            self.tell(host, second, Fact::DhcpClient { name, class });
        }
    }

    /// What servers and clients call themselves.
    fn software(&mut self, event_type: &str, line: &Value, header: &Header, mapping: &Mapping) {
        let Some(ends) = header.ends.map(super::header::Ends::guessed) else { return };
        let second = header.time.second;
        let text = |path| text_at(line, path).map(|text| clip(text).to_owned());
        let server = |kind, software| Fact::Server {
            protocol: ends.protocol,
            port: ends.destination_port,
            application: mapping.application.get(event_type).map_or(0, |known| known.server.0),
            kind,
            software,
        };
        match event_type {
            "ssh" => {
                if let Some(software) = text("ssh.server.software_version") {
                    self.tell(ends.destination, second, server(Software::Ssh, software));
                }
                if let Some(software) = text("ssh.client.software_version") {
                    self.tell(ends.source, second, Fact::SshClient { software });
                }
            }
            "smb" => {
                for (host, path) in
                    [(ends.source, "smb.request.native_os"), (ends.destination, "smb.response.native_os")]
                {
                    if let Some(system) = text(path) {
                        self.tell(host, second, Fact::Smb { netbios: String::new(), system });
                    }
                }
            }
            _ => {
                // Suricata logs it where the configuration asks for it: `custom: [server]`, or all headers.
                let all = at(line, "http.response_headers").and_then(Value::as_array);
                let named = all
                    .into_iter()
                    .flatten()
                    .find(|header| text_at(header, "name").is_some_and(|name| name.eq_ignore_ascii_case("server")));
                let header = named.and_then(|header| text_at(header, "value")).map(|text| clip(text).to_owned());
                if let Some(software) = text("http.server").or(header) {
                    self.tell(ends.destination, second, server(Software::Http, software));
                }
            }
        }
    }

    fn tell(&mut self, address: IpAddr, second: u32, fact: Fact) {
        self.sightings.add(Sighting { address, device: self.device, second, fact });
    }
}

fn address(line: &Value, path: &str) -> Option<IpAddr> {
    text_at(line, path)?.parse().ok()
}

/// Six octets in hexadecimal with colons between them.
fn mac(text: &str) -> Option<[u8; 6]> {
    super::text::colons(text)?.try_into().ok()
}
