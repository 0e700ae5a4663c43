//! A host and what is known of it.

/// Most servers, client applications, users and operating systems of a host, each. Whoever scans a host, or claims
/// names, can make up any number of them.
pub(crate) const MOST_PARTS: usize = 500;

/// Most addresses and MAC addresses of a host, each.
pub(crate) const MOST_ADDRESSES: usize = 64;

/// Longest text kept, in bytes.
pub(crate) const MOST_TEXT: usize = 512;

/// A host of a network map. Times are Unix seconds, of events unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Number of its row, never used twice in a map file.
    pub id: i64,
    /// Its identity for clients, 16 octets.
    pub uid: [u8; 16],
    /// 0 host, 1 router, 2 bridge, 3 NAT device, 4 load balancer.
    pub kind: u32,
    /// Hops between sensor and host, as far as anybody told; else 0.
    pub hops: u8,
    /// When it was first seen.
    pub first_seen: u32,
    /// When it was last seen.
    pub last_seen: u32,
    /// Archival second (the server's clock) at which it was last told of: what timeouts go by.
    pub heard: u32,
    /// Device that told of it last.
    pub device: u32,
    /// Only sources that tell discovery events of their own have told of it, so none are made.
    pub quiet: bool,
    /// VLAN id, 0 without.
    pub vlan: u16,
    /// NetBIOS name.
    pub netbios: String,
    /// Host name, as DHCP has it.
    pub name: String,
    /// Its addresses, the one it was first known by first.
    pub addresses: Vec<Address>,
    /// MAC addresses.
    pub macs: Vec<Mac>,
    /// Servers, by rising protocol and port.
    pub servers: Vec<Server>,
    /// Client applications.
    pub clients: Vec<Client>,
    /// What its operating system may be.
    pub systems: Vec<System>,
    /// Users who were seen on it.
    pub users: Vec<User>,
    /// Network protocols (EtherType) and transport protocols (IP protocol number).
    pub protocols: Vec<Protocol>,
    /// Its own row is to be written.
    pub(crate) dirty: bool,
    /// Rows that are to be removed.
    pub(crate) gone: Vec<Gone>,
}

/// An address of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// 16 octets; IPv4 as `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// When it was last seen.
    pub last_seen: u32,
    pub(crate) dirty: bool,
}

/// A MAC address of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mac {
    /// Its octets.
    pub mac: [u8; 6],
    /// Time to live of the packets it was seen in, 0 where nobody told.
    pub ttl: u8,
    /// Address resolution or DHCP has confirmed it; else it was only seen in frames, whose sender may be a router.
    pub primary: bool,
    /// When it was last seen.
    pub last_seen: u32,
    pub(crate) dirty: bool,
}

/// A server of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// IP protocol: 6 TCP, 17 UDP.
    pub protocol: u8,
    /// Port.
    pub port: u16,
    /// Application protocol (metadata record 63), 0 when unknown.
    pub application: u32,
    /// Web application (metadata record 109), 0 when none.
    pub web: u32,
    /// Vendor or product, as the server says.
    pub vendor: String,
    /// Version.
    pub version: String,
    /// First octets of what it says.
    pub banner: Vec<u8>,
    /// Connections to it.
    pub hits: u32,
    /// When it was first seen.
    pub first_seen: u32,
    /// When it was last seen.
    pub last_seen: u32,
    pub(crate) heard: u32,
    pub(crate) dirty: bool,
}

/// A client application on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Client application (metadata record 55).
    pub application: u32,
    /// Application protocol it spoke (metadata record 63).
    pub protocol: u32,
    /// Web application (metadata record 109), 0 when none.
    pub web: u32,
    /// Version.
    pub version: String,
    /// Connections it made.
    pub hits: u32,
    /// When it was first seen.
    pub first_seen: u32,
    /// When it was last seen.
    pub last_seen: u32,
    pub(crate) heard: u32,
    pub(crate) dirty: bool,
}

/// What an operating system may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct System {
    /// How it is known.
    pub source: Evidence,
    /// Identity of the fingerprint (metadata record 54).
    pub fingerprint: [u8; 16],
    /// When it was last seen.
    pub last_seen: u32,
    pub(crate) dirty: bool,
}

/// Where a fingerprint comes from: the list of a host profile it stands in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// What a server says.
    Server,
    /// What a client sends.
    #[default]
    Client,
    /// SMB.
    Smb,
    /// DHCP.
    Dhcp,
    /// User agent of an HTTP request.
    UserAgent,
}

impl Evidence {
    /// All of them.
    pub const ALL: [Evidence; 5] =
        [Evidence::Server, Evidence::Client, Evidence::Smb, Evidence::Dhcp, Evidence::UserAgent];

    /// Its number in the database, and the fingerprint type of data block 130. No guide lists these: they rise as the
    /// lists of a host profile do.
    pub fn number(self) -> u32 {
        match self {
            Evidence::Server => 0,
            Evidence::Client => 1,
            Evidence::Smb => 2,
            Evidence::Dhcp => 3,
            Evidence::UserAgent => 8,
        }
    }

    pub(crate) fn of(number: u32) -> Evidence {
        Evidence::ALL.into_iter().find(|evidence| evidence.number() == number).unwrap_or_default()
    }
}

/// A user who was seen on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Number of the user (metadata record 98).
    pub id: u32,
    /// Name, as far as a login told; else empty.
    pub name: String,
    /// When first seen there.
    pub first_seen: u32,
    /// When last seen there.
    pub last_seen: u32,
    pub(crate) dirty: bool,
}

/// A protocol a host speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocol {
    /// A transport protocol, not a network protocol.
    pub transport: bool,
    /// Its number.
    pub number: u16,
    pub(crate) dirty: bool,
}

/// A row that is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    Address([u8; 16]),
    Mac([u8; 6]),
    Server(u8, u16),
    Client(u32),
}

impl Host {
    /// The address it is called by: the first it was known by.
    pub fn address(&self) -> [u8; 16] {
        self.addresses.first().map_or([0; 16], |address| address.address)
    }

    /// Its MAC address: a confirmed one before others, the newest of these.
    pub fn mac(&self) -> Option<[u8; 6]> {
        self.macs.iter().max_by_key(|mac| (mac.primary, mac.last_seen)).map(|mac| mac.mac)
    }

    /// A server of it.
    pub fn server(&self, protocol: u8, port: u16) -> Option<&Server> {
        self.servers.iter().find(|server| (server.protocol, server.port) == (protocol, port))
    }

    /// Marks it and everything it has as written.
    pub(crate) fn written(&mut self) {
        self.dirty = false;
        self.gone.clear();
        self.addresses.iter_mut().for_each(|part| part.dirty = false);
        self.macs.iter_mut().for_each(|part| part.dirty = false);
        self.servers.iter_mut().for_each(|part| part.dirty = false);
        self.clients.iter_mut().for_each(|part| part.dirty = false);
        self.systems.iter_mut().for_each(|part| part.dirty = false);
        self.users.iter_mut().for_each(|part| part.dirty = false);
        self.protocols.iter_mut().for_each(|part| part.dirty = false);
    }
}

/// As much of a text as is kept.
pub(crate) fn clip(text: &str) -> &str {
    let text = text.trim_matches('\0');
    let fits = (0..=MOST_TEXT.min(text.len())).rev().find_map(|end| text.get(..end));
    fits.unwrap_or_default()
}
