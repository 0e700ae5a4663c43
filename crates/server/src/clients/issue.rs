//! Certificates of clients: made, renewed, downloaded.

use std::net::IpAddr;

use pki::{Authority, Issued, Resolver};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Client, Clients, now};
use crate::error::{Error, Result};
use crate::home::Home;

/// A client to be made.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// The host name or address it connects from.
    pub host: &'a str,
    /// Password of its PKCS#12 file; none and an empty one are the same.
    pub password: Option<&'a str>,
    /// Whether the PKCS#12 file is kept, so that it can be downloaded again.
    pub keep: bool,
    /// Netmap id of the domain whose archive it gets, and nothing else; `None` is the domain of the settings. A client
    /// that is renewed stays where it is.
    pub netmap: Option<u32>,
}

/// A client just added or renewed.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its entry in the list.
    pub client: Client,
    /// Its PKCS#12 file: private key, certificate, and the authority's certificate.
    pub bundle: Vec<u8>,
}

impl Clients {
    /// Adds a client whose PKCS#12 file is kept. See [`Clients::create_client`].
    ///
    /// # Errors
    /// Those of [`Clients::create_client`].
    pub fn add(&self, home: &Home, host: &str, password: Option<&str>) -> Result<Added> {
        self.create_client(home, &New { host, password, keep: true, netmap: None })
    }

    /// Adds a client for the host name or address it connects from, issues its certificate, and gives the PKCS#12 file
    /// for it. Validity and kind of key are those of the settings. Whether the name resolves is not looked at: see
    /// [`check_resolves`].
    ///
    /// # Errors
    /// [`Error::ClientThere`] if the name is active, [`Error::Pki`] for an unusable name or password or an authority
    /// that cannot issue, [`Error::Settings`], [`Error::Database`]. Nothing is added then.
    pub fn create_client(&self, home: &Home, new: &New<'_>) -> Result<Added> {
        pki::check_host(new.host)?;
        if self.active(new.host)? {
            return Err(Error::ClientThere { name: new.host.to_owned() });
        }
        let days = home.settings()?.client_certificate_days;
        self.create_with(&home.authority()?, new, days)
    }

    pub(super) fn create_with(&self, authority: &Authority, new: &New<'_>, days: u32) -> Result<Added> {
        let issued = authority.issue_client(new.host, days)?;
        let bundle = authority.bundle(&issued).to_pkcs12(new.password)?;
        let client = client_of(new.host, &issued, new.keep, new.netmap);
        match self.changed(|c| insert(c, &client, new.keep.then_some(bundle.as_slice()))) {
            Ok(()) => Ok(Added { client, bundle }),
            // Somebody was faster: the index lets a name be active once.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(Error::ClientThere { name: new.host.to_owned() })
            }
            Err(error) => Err(Error::database(&self.path)(error)),
        }
    }

    /// Gives a client a new certificate. Those it has stay good until the new one is first used, or until they end; then
    /// they are refused as revoked.
    ///
    /// # Errors
    /// [`Error::NoClient`], and those of [`Clients::create_client`]. Nothing is changed then.
    pub fn renew(&self, home: &Home, new: &New<'_>) -> Result<Added> {
        let days = home.settings()?.client_certificate_days;
        self.renew_with(&home.authority()?, new, days)
    }

    pub(super) fn renew_with(&self, authority: &Authority, new: &New<'_>, days: u32) -> Result<Added> {
        let no_client = || Error::NoClient { name: new.host.to_owned() };
        let present = self.find(new.host)?.ok_or_else(no_client)?;
        let issued = authority.issue_client(&present.name, days)?;
        let bundle = authority.bundle(&issued).to_pkcs12(new.password)?;
        let mut client = client_of(&present.name, &issued, new.keep, present.netmap);
        let renewed = self.changed(|c| {
            let change = c.unchecked_transaction()?;
            let superseded = change.execute(
                "UPDATE clients SET superseded = ?, bundle = NULL
                 WHERE name = ? COLLATE NOCASE AND removed IS NULL AND superseded IS NULL",
                params![now(), present.name],
            )?;
            if superseded > 0 {
                insert(&change, &client, new.keep.then_some(bundle.as_slice()))?;
                change.commit()?;
            }
            Ok(superseded)
        });
        // Somebody may have removed it meanwhile.
        if renewed.map_err(Error::database(&self.path))? == 0 {
            return Err(no_client());
        }
        client.older = present.not_after > now() || present.older;
        Ok(Added { client, bundle })
    }

    /// Withdraws what a client had before the certificate with this fingerprint, which is used now; true if there was
    /// something.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub(crate) fn first_use(&self, fingerprint: &str) -> Result<bool> {
        let older = "SELECT old.id FROM clients new JOIN clients old
                     ON old.name = new.name COLLATE NOCASE AND old.id < new.id AND old.removed IS NULL
                     WHERE new.fingerprint = ?";
        let withdrawn = (|| {
            // Nearly always there is nothing, and a change has to wait for others.
            let any = self.lock().prepare_cached(older)?.exists([fingerprint])?;
            if !any {
                return Ok(0);
            }
            let change =
                format!("UPDATE clients SET removed = ?2, bundle = NULL WHERE id IN ({})", older.replace('?', "?1"));
            self.changed(|c| c.execute(&change, params![fingerprint, now()]))
        })();
        withdrawn.map(|n| n > 0).map_err(Error::database(&self.path))
    }

    /// The PKCS#12 file of a client, as it was handed out.
    ///
    /// # Errors
    /// [`Error::NoClient`], [`Error::NotKept`], [`Error::Database`].
    pub fn download(&self, name: &str) -> Result<Vec<u8>> {
        let connection = self.lock();
        let kept = connection.query_row(
            "SELECT bundle FROM clients WHERE name = ? COLLATE NOCASE AND removed IS NULL AND superseded IS NULL",
            [name],
            |row| row.get::<_, Option<Vec<u8>>>(0),
        );
        match kept.optional().map_err(Error::database(&self.path))? {
            None => Err(Error::NoClient { name: name.to_owned() }),
            Some(None) => Err(Error::NotKept { name: name.to_owned() }),
            Some(Some(bundle)) => Ok(bundle),
        }
    }
}

/// Whether a client could be let in by its name: an address always, another name if it has an address now. Gives the
/// addresses.
///
/// # Errors
/// [`Error::Pki`] for a name that is none, [`Error::Unresolved`] with what was tried.
pub fn check_resolves(host: &str, resolver: &dyn Resolver) -> Result<Vec<IpAddr>> {
    pki::check_host(host)?;
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let failed = |reason: String| Error::Unresolved { name: host.to_owned(), reason };
    let mut addresses = resolver.addresses(host).map_err(|error| failed(error.to_string()))?;
    addresses.dedup();
    if addresses.is_empty() { Err(failed("it has no address".into())) } else { Ok(addresses) }
}

fn client_of(name: &str, issued: &Issued, kept: bool, netmap: Option<u32>) -> Client {
    Client {
        name: name.to_owned(),
        serial: issued.serial.clone(),
        fingerprint: issued.fingerprint.clone(),
        not_before: issued.not_before,
        not_after: issued.not_after,
        created: now(),
        removed: None,
        kept,
        older: false,
        netmap,
    }
}

fn insert(connection: &Connection, client: &Client, bundle: Option<&[u8]>) -> rusqlite::Result<()> {
    let insert = "INSERT INTO clients (name, serial, fingerprint, not_before, not_after, created, netmap, bundle)
                  VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let Client { name, serial, fingerprint, not_before, not_after, created, netmap, .. } = client;
    let values = params![name, serial, fingerprint, not_before, not_after, created, netmap, bundle];
    connection.execute(insert, values).map(drop)
}
