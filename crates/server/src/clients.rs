//! The clients of the service: who may connect.

mod issue;
mod tables;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki::{ClientList, Standing};
use rusqlite::{Connection, OptionalExtension, Row, params};
use rustc_hash::FxHashSet;

pub use self::issue::{Added, New, check_resolves};
use crate::error::{Error, Result};

/// How long a change of another process is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// The columns of [`read_client`]. Others with the same name, not removed, still good and older are its former ones.
const COLUMNS: &str = "name, serial, fingerprint, not_before, not_after, created, removed, bundle IS NOT NULL,
    EXISTS (SELECT 1 FROM clients old WHERE old.name = c.name COLLATE NOCASE AND old.id < c.id
            AND old.removed IS NULL AND old.not_after > unixepoch()),
    netmap";

/// The list of clients in the home's database. Any number of processes may use and change it.
#[derive(Debug)]
pub struct Clients {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Changes by this value, which SQLite's `data_version` does not count.
    own: AtomicI64,
}

/// A client on the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Host name or address: the name in its certificate.
    pub name: String,
    /// Serial number of its certificate in hexadecimal.
    pub serial: String,
    /// SHA-256 of its certificate, 64 lower-case hexadecimal digits.
    pub fingerprint: String,
    /// Start of its certificate's validity, Unix seconds.
    pub not_before: i64,
    /// End of its certificate's validity, Unix seconds.
    pub not_after: i64,
    /// When this certificate was issued, Unix seconds.
    pub created: i64,
    /// When it was removed, if it was.
    pub removed: Option<i64>,
    /// Whether its PKCS#12 file is kept, so that it can be downloaded.
    pub kept: bool,
    /// It was renewed, and a certificate from before is still good, because the new one was not used yet.
    pub older: bool,
    /// Netmap id of the domain whose archive it gets; `None` is the one of the settings.
    pub netmap: Option<u32>,
}

impl Clients {
    /// Makes an empty list in a new file that only its owner can read.
    pub(crate) fn create(path: &Path) -> Result<Clients> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map_err(Error::io("create", path))?;
        Clients::open(path)
    }

    /// Opens a list; one of an older version of this program is brought to the present form.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::DatabaseVersion`].
    pub(crate) fn open(path: &Path) -> Result<Clients> {
        let failed = Error::database(path);
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        connection.busy_timeout(BUSY).map_err(&failed)?;
        let version = tables::prepare(&mut connection).map_err(&failed)?;
        if version > tables::VERSION {
            return Err(Error::DatabaseVersion { path: path.to_path_buf(), found: version, known: tables::VERSION });
        }
        Ok(Clients { path: path.to_path_buf(), connection: Mutex::new(connection), own: AtomicI64::new(0) })
    }

    /// All active clients by name, and with `removed` also certificates that were removed or renewed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn list(&self, removed: bool) -> Result<Vec<Client>> {
        let connection = self.lock();
        let list = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM clients c WHERE removed IS NULL AND superseded IS NULL OR ?
                 ORDER BY name COLLATE NOCASE, created, id"
            ))?;
            statement.query_map([removed], read_client)?.collect()
        };
        list().map_err(Error::database(&self.path))
    }

    /// The active client of this name; names do not care for case.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn find(&self, name: &str) -> Result<Option<Client>> {
        let connection = self.lock();
        let find = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM clients c
                 WHERE name = ? COLLATE NOCASE AND removed IS NULL AND superseded IS NULL"
            ))?;
            statement.query_row([name], read_client).optional()
        };
        find().map_err(Error::database(&self.path))
    }

    /// Removes an active client. From this moment it cannot connect, and its open sessions end within a second. The name
    /// can be added again, with a new certificate.
    ///
    /// # Errors
    /// [`Error::NoClient`], [`Error::Database`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let changed = self.changed(|c| {
            c.execute(
                "UPDATE clients SET removed = ?, bundle = NULL WHERE name = ? COLLATE NOCASE AND removed IS NULL",
                params![now(), name],
            )
        });
        match changed.map_err(Error::database(&self.path))? {
            0 => Err(Error::NoClient { name: name.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The standing of a certificate.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn standing_of(&self, fingerprint: &str) -> Result<Standing> {
        let connection = self.lock();
        let removed = || -> rusqlite::Result<Option<bool>> {
            let mut statement =
                connection.prepare_cached("SELECT removed IS NOT NULL FROM clients WHERE fingerprint = ?")?;
            statement.query_row([fingerprint], |row| row.get(0)).optional()
        };
        Ok(match removed().map_err(Error::database(&self.path))? {
            None => Standing::Unknown,
            Some(true) => Standing::Removed,
            Some(false) => Standing::Listed,
        })
    }

    /// Netmap id of the domain the client with a certificate is bound to; `None` for that of the settings, and for a
    /// client nobody knows.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn netmap_of(&self, fingerprint: &str) -> Result<Option<u32>> {
        let connection = self.lock();
        let netmap = || -> rusqlite::Result<Option<u32>> {
            let mut statement = connection.prepare_cached("SELECT netmap FROM clients WHERE fingerprint = ?")?;
            Ok(statement.query_row([fingerprint], |row| row.get(0)).optional()?.flatten())
        };
        netmap().map_err(Error::database(&self.path))
    }

    /// The fingerprints of all certificates that are good.
    pub(crate) fn fingerprints(&self) -> Result<FxHashSet<String>> {
        let connection = self.lock();
        let list = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached("SELECT fingerprint FROM clients WHERE removed IS NULL")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        list().map_err(Error::database(&self.path))
    }

    /// Two numbers that change with every change of the database, by others and by this value.
    pub(crate) fn version(&self) -> Result<(i64, i64)> {
        let own = self.own.load(Ordering::Acquire);
        let others = self.lock().pragma_query_value(None, "data_version", |row| row.get(0));
        Ok((others.map_err(Error::database(&self.path))?, own))
    }

    fn active(&self, name: &str) -> Result<bool> {
        Ok(self.find(name)?.is_some())
    }

    /// Makes a change.
    fn changed<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let done = change(&self.lock());
        self.own.fetch_add(1, Ordering::Release);
        done
    }

    /// Also after a panic elsewhere: a change is one statement or one transaction.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientList for Clients {
    /// Asks the database each time, since another process may have changed it. Takes some ten microseconds. While the
    /// database cannot be read nobody gets in.
    fn standing(&self, fingerprint: &str) -> Standing {
        self.standing_of(fingerprint).unwrap_or_else(|error| {
            tracing::error!("A client is refused, because the list of clients cannot be read: {error}");
            Standing::Unknown
        })
    }
}

fn read_client(row: &Row<'_>) -> rusqlite::Result<Client> {
    Ok(Client {
        name: row.get(0)?,
        serial: row.get(1)?,
        fingerprint: row.get(2)?,
        not_before: row.get(3)?,
        not_after: row.get(4)?,
        created: row.get(5)?,
        removed: row.get(6)?,
        kept: row.get(7)?,
        older: row.get(8)?,
        netmap: row.get(9)?,
    })
}

/// Unix seconds.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{Authority, AuthorityOptions, Bundle, KeyKind};

    fn authority() -> Authority {
        Authority::create(&AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() }).unwrap()
    }

    fn create(clients: &Clients, authority: &Authority, host: &str, password: Option<&str>) -> Result<Added> {
        clients.create_with(authority, &New { host, password, keep: true, netmap: None }, 30)
    }

    #[test]
    fn clients_are_added_listed_removed_and_added_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        let clients = Clients::create(&path).unwrap();
        let authority = authority();
        let first = create(&clients, &authority, "siem.example", Some("secret")).unwrap();
        let bundle = Bundle::from_pkcs12(&first.bundle, Some("secret")).unwrap();
        assert_eq!(pki::fingerprint(&bundle.certificate), first.client.fingerprint);
        assert!(Bundle::from_pkcs12(&first.bundle, None).is_err());
        let error = create(&clients, &authority, "SIEM.example", None).unwrap_err().to_string();
        assert!(error.starts_with("there is a client SIEM.example already. Remove it first"), "{error}");

        // Another process removes it.
        let other = Clients::open(&path).unwrap();
        let version = clients.version().unwrap();
        assert_eq!(clients.standing(&first.client.fingerprint), Standing::Listed);
        other.remove("siem.example").unwrap();
        assert_ne!(clients.version().unwrap(), version);
        assert_eq!(clients.standing(&first.client.fingerprint), Standing::Removed);
        assert!(matches!(clients.remove("siem.example"), Err(Error::NoClient { .. })));
        assert!(clients.list(false).unwrap().is_empty() && clients.fingerprints().unwrap().is_empty());

        let second = create(&clients, &authority, "siem.example", None).unwrap();
        assert_ne!(second.client.fingerprint, first.client.fingerprint);
        assert_eq!(clients.standing(&first.client.fingerprint), Standing::Removed);
        assert_eq!(clients.standing(&second.client.fingerprint), Standing::Listed);
        assert_eq!(clients.standing("00"), Standing::Unknown);
        assert_eq!(clients.list(false).unwrap(), std::slice::from_ref(&second.client));
        let all = clients.list(true).unwrap();
        assert!(all.len() == 2 && all[0].removed.is_some());
    }

    #[test]
    fn a_database_that_is_none_or_is_newer_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        assert!(matches!(Clients::open(&path), Err(Error::Database { .. })), "an empty one is not made by the way");
        assert!(!path.exists());
        std::fs::write(&path, [7; 8192]).unwrap();
        assert!(matches!(Clients::open(&path), Err(Error::Database { .. })));
        std::fs::remove_file(&path).unwrap();
        Clients::create(&path).unwrap().lock().pragma_update(None, "user_version", 9).unwrap();
        let error = Clients::open(&path).unwrap_err().to_string();
        assert!(error.contains("has version 9, and this program knows 3"), "{error}");
    }

    #[test]
    fn a_renewed_client_has_two_certificates_until_the_new_one_is_used() {
        let temp = tempfile::tempdir().unwrap();
        let clients = Clients::create(&temp.path().join("db")).unwrap();
        let authority = authority();
        let bound = New { host: "siem.example", password: None, keep: true, netmap: Some(3) };
        let old = clients.create_with(&authority, &bound, 30).unwrap();
        assert_eq!(clients.download("SIEM.example").unwrap(), old.bundle);
        let renew = |keep| {
            clients.renew_with(&authority, &New { host: "SIEM.example", password: None, keep, netmap: None }, 30)
        };
        let new = renew(false).unwrap();
        assert_eq!((new.client.name.as_str(), new.client.older, new.client.netmap), ("siem.example", true, Some(3)));
        assert_eq!(clients.netmap_of(&new.client.fingerprint).unwrap(), Some(3));
        let newest = renew(true).unwrap();
        let standing = |a: &Added| clients.standing(&a.client.fingerprint);
        assert_eq!([&old, &new, &newest].map(standing), [Standing::Listed; 3]);
        assert_eq!(clients.list(false).unwrap(), std::slice::from_ref(&newest.client));
        assert_eq!(clients.download("siem.example").unwrap(), newest.bundle);

        // Using an old one changes nothing, using the new one withdraws the old ones; the change is seen.
        let version = clients.version().unwrap();
        assert!(!clients.first_use(&old.client.fingerprint).unwrap());
        assert_eq!(clients.version().unwrap(), version);
        assert!(clients.first_use(&newest.client.fingerprint).unwrap());
        assert_ne!(clients.version().unwrap(), version);
        assert!(!clients.first_use(&newest.client.fingerprint).unwrap());
        assert_eq!([&old, &new, &newest].map(standing), [Standing::Removed, Standing::Removed, Standing::Listed]);
        assert!(!clients.find("siem.example").unwrap().unwrap().older);

        // Removing takes all there are, and what was kept.
        renew(true).unwrap();
        clients.remove("siem.example").unwrap();
        assert_eq!(standing(&newest), Standing::Removed);
        assert!(matches!(clients.download("siem.example"), Err(Error::NoClient { .. })));
        assert!(matches!(renew(true), Err(Error::NoClient { .. })));
        let kept: i64 = clients
            .lock()
            .query_row("SELECT count(*) FROM clients WHERE bundle IS NOT NULL", [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, 0);
        let unkept =
            clients.create_with(&authority, &New { host: "a", password: None, keep: false, netmap: None }, 30).unwrap();
        assert!(!unkept.client.kept && matches!(clients.download("a"), Err(Error::NotKept { .. })));
    }

    #[test]
    fn a_list_of_the_first_version_is_taken_over() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL, serial TEXT NOT NULL,
                fingerprint TEXT NOT NULL UNIQUE, not_before INTEGER NOT NULL, not_after INTEGER NOT NULL,
                created INTEGER NOT NULL, removed INTEGER) STRICT;
             CREATE UNIQUE INDEX active_client ON clients (name COLLATE NOCASE) WHERE removed IS NULL;
             INSERT INTO clients VALUES (1, 'a', '01', 'aa', 1, 9999999999, 1, NULL), (2, 'b', '02', 'bb', 1, 2, 1, 3);
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);
        let clients = Clients::open(&path).unwrap();
        assert_eq!([clients.standing("aa"), clients.standing("bb")], [Standing::Listed, Standing::Removed]);
        let kept = clients.find("a").unwrap().unwrap();
        assert!(!kept.kept && !kept.older && kept.netmap.is_none());
        create(&clients, &authority(), "b", None).unwrap();
        assert!(matches!(create(&clients, &authority(), "A", None), Err(Error::ClientThere { .. })));
        drop(Clients::open(&path).unwrap());
    }

    #[test]
    fn names_must_resolve() {
        let resolver = |name: &str| match name {
            "siem.example" => Ok(vec!["192.0.2.7".parse().unwrap()]),
            "empty.example" => Ok(Vec::new()),
            _ => Err(std::io::Error::other("no such name")),
        };
        assert_eq!(check_resolves("siem.example", &resolver).unwrap().len(), 1);
        for address in ["192.0.2.9", "2001:db8::1", "[2001:db8::1]"] {
            check_resolves(address, &resolver).unwrap();
        }
        let error = check_resolves("nowhere.example", &resolver).unwrap_err().to_string();
        assert!(error.contains("nowhere.example") && error.contains("no such name"), "{error}");
        assert!(matches!(check_resolves("empty.example", &resolver), Err(Error::Unresolved { .. })));
        assert!(matches!(check_resolves("a b", &resolver), Err(Error::Pki(_))));
    }
}
