//! The clients of the service: who may connect.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki::{Authority, ClientList, Standing};
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use rustc_hash::FxHashSet;

use crate::error::{Error, Result};
use crate::home::Home;

/// What brings the tables from one version to the next. How many of them were run is the version of the tables, kept in
/// SQLite's `user_version`: what is here never changes, new ones come at the end.
const MIGRATIONS: &[&str] = &[TABLES, NETMAP];

/// How long a change of another process is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// A removed client keeps its row, so that the handshake can tell "removed" from "never known". A name can be active
/// once; DNS names do not care for case.
const TABLES: &str = "
    CREATE TABLE clients (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        serial TEXT NOT NULL,
        fingerprint TEXT NOT NULL UNIQUE,
        not_before INTEGER NOT NULL,
        not_after INTEGER NOT NULL,
        created INTEGER NOT NULL,
        removed INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX active_client ON clients (name COLLATE NOCASE) WHERE removed IS NULL;
";

/// The domain whose archive a client gets; none is the one of the settings.
const NETMAP: &str = "ALTER TABLE clients ADD COLUMN netmap INTEGER;";

/// The list of clients in the home's database. Any number of processes may use and change it.
#[derive(Debug)]
pub struct Clients {
    path: PathBuf,
    connection: Mutex<Connection>,
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
    /// When it was added, Unix seconds.
    pub created: i64,
    /// When it was removed, if it was.
    pub removed: Option<i64>,
    /// Netmap id of the domain whose archive it gets; `None` is the one of the settings.
    pub netmap: Option<u32>,
}

/// A client just added.
#[derive(Debug, Clone)]
pub struct Added {
    /// Its entry in the list.
    pub client: Client,
    /// Its PKCS#12 file: private key, certificate, and the authority's certificate. It is kept nowhere else.
    pub bundle: Vec<u8>,
}

impl Clients {
    /// Makes an empty list in a new file that only its owner can read.
    pub(crate) fn create(path: &Path) -> Result<Clients> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.map_err(Error::io("create", path))?;
        Clients::open(path)
    }

    /// Opens a list.
    ///
    /// # Errors
    /// [`Error::Database`], [`Error::DatabaseVersion`].
    pub(crate) fn open(path: &Path) -> Result<Clients> {
        let failed = Error::database(path);
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(&failed)?;
        let version = migrate(&mut connection).map_err(&failed)?;
        if version > MIGRATIONS.len() {
            let (found, known) = (version as i64, MIGRATIONS.len() as i64);
            return Err(Error::DatabaseVersion { path: path.to_path_buf(), found, known });
        }
        Ok(Clients { path: path.to_path_buf(), connection: Mutex::new(connection) })
    }

    /// Adds a client for the host name or address it connects from, issues its certificate, and gives the PKCS#12 file
    /// for it. Validity and kind of key are those of the settings.
    ///
    /// # Errors
    /// [`Error::ClientThere`] if the name is active, [`Error::Pki`] for an unusable name or password or an authority
    /// that cannot issue, [`Error::Settings`], [`Error::Database`]. Nothing is added then.
    pub fn add(&self, home: &Home, host: &str, password: Option<&str>) -> Result<Added> {
        self.add_in(home, host, password, None)
    }

    /// Like [`Clients::add`], for the domain with this netmap id: the client gets what is in that archive and nothing
    /// else. `None` is the domain of the settings.
    ///
    /// # Errors
    /// As for [`Clients::add`].
    pub fn add_in(&self, home: &Home, host: &str, password: Option<&str>, netmap: Option<u32>) -> Result<Added> {
        pki::check_host(host)?;
        if self.active(host)? {
            return Err(Error::ClientThere { name: host.to_owned() });
        }
        let days = home.settings()?.client_certificate_days;
        self.add_with(&home.authority()?, host, days, password, netmap)
    }

    fn add_with(
        &self,
        authority: &Authority,
        host: &str,
        days: u32,
        password: Option<&str>,
        netmap: Option<u32>,
    ) -> Result<Added> {
        let issued = authority.issue_client(host, days)?;
        let bundle = authority.bundle(&issued).to_pkcs12(password)?;
        let client = Client {
            name: host.to_owned(),
            serial: issued.serial,
            fingerprint: issued.fingerprint,
            not_before: issued.not_before,
            not_after: issued.not_after,
            created: now(),
            removed: None,
            netmap,
        };
        let inserted = self.lock().execute(
            "INSERT INTO clients (name, serial, fingerprint, not_before, not_after, created, netmap)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                client.name,
                client.serial,
                client.fingerprint,
                client.not_before,
                client.not_after,
                client.created,
                client.netmap
            ],
        );
        match inserted {
            Ok(_) => Ok(Added { client, bundle }),
            // Somebody was faster: the index lets a name be active once.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(Error::ClientThere { name: host.to_owned() })
            }
            Err(error) => Err(Error::database(&self.path)(error)),
        }
    }

    /// All active clients by name, and with `removed` also those that were removed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub fn list(&self, removed: bool) -> Result<Vec<Client>> {
        let connection = self.lock();
        let list = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached(
                "SELECT name, serial, fingerprint, not_before, not_after, created, removed, netmap FROM clients
                 WHERE removed IS NULL OR ? ORDER BY name COLLATE NOCASE, created, id",
            )?;
            statement.query_map([removed], read_client)?.collect()
        };
        list().map_err(Error::database(&self.path))
    }

    /// Removes an active client. From this moment it cannot connect, and its open sessions end within a second. The name
    /// can be added again, with a new certificate.
    ///
    /// # Errors
    /// [`Error::NoClient`], [`Error::Database`].
    pub fn remove(&self, name: &str) -> Result<()> {
        let changed = self.lock().execute(
            "UPDATE clients SET removed = ? WHERE name = ? COLLATE NOCASE AND removed IS NULL",
            params![now(), name],
        );
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

    /// The fingerprints of all active clients.
    pub(crate) fn fingerprints(&self) -> Result<FxHashSet<String>> {
        let connection = self.lock();
        let list = || -> rusqlite::Result<_> {
            let mut statement = connection.prepare_cached("SELECT fingerprint FROM clients WHERE removed IS NULL")?;
            statement.query_map([], |row| row.get(0))?.collect()
        };
        list().map_err(Error::database(&self.path))
    }

    /// A number that changes with every change that another connection makes to the database.
    pub(crate) fn version(&self) -> Result<i64> {
        let version = self.lock().pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(Error::database(&self.path))
    }

    fn active(&self, name: &str) -> Result<bool> {
        let there = self.lock().query_row(
            "SELECT EXISTS (SELECT 1 FROM clients WHERE name = ? COLLATE NOCASE AND removed IS NULL)",
            [name],
            |row| row.get(0),
        );
        there.map_err(Error::database(&self.path))
    }

    /// Also after a panic elsewhere: a change is one statement.
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
        netmap: row.get(7)?,
    })
}

/// Brings the tables to the newest version, in one change; gives the version they have.
fn migrate(connection: &mut Connection) -> rusqlite::Result<usize> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    for migration in MIGRATIONS.iter().skip(version) {
        change.execute_batch(migration)?;
    }
    if version < MIGRATIONS.len() {
        change.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    }
    change.commit()?;
    Ok(version.max(MIGRATIONS.len()))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| i64::try_from(t.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{AuthorityOptions, Bundle, KeyKind};

    fn authority() -> Authority {
        Authority::create(&AuthorityOptions { key: KeyKind::EcdsaP256, ..AuthorityOptions::default() }).unwrap()
    }

    #[test]
    fn clients_are_added_listed_removed_and_added_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        let clients = Clients::create(&path).unwrap();
        let authority = authority();
        let first = clients.add_with(&authority, "siem.example", 30, Some("secret"), None).unwrap();
        let bundle = Bundle::from_pkcs12(&first.bundle, Some("secret")).unwrap();
        assert_eq!(pki::fingerprint(&bundle.certificate), first.client.fingerprint);
        assert!(Bundle::from_pkcs12(&first.bundle, None).is_err());
        let error = clients.add_with(&authority, "SIEM.example", 30, None, None).unwrap_err().to_string();
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

        let second = clients.add_with(&authority, "siem.example", 30, None, Some(3)).unwrap();
        assert_ne!(second.client.fingerprint, first.client.fingerprint);
        assert_eq!(clients.standing(&first.client.fingerprint), Standing::Removed);
        assert_eq!(clients.standing(&second.client.fingerprint), Standing::Listed);
        assert_eq!(clients.standing("00"), Standing::Unknown);
        let netmap = |fingerprint| clients.netmap_of(fingerprint).unwrap();
        assert_eq!((netmap(&first.client.fingerprint), netmap(&second.client.fingerprint)), (None, Some(3)));
        assert_eq!(netmap("00"), None);
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
        assert!(error.contains("has version 9, and this program knows 2"), "{error}");
    }

    #[test]
    fn a_list_of_the_first_version_is_carried_over() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch("INSERT INTO clients VALUES (1, 'a.example', '01', 'aa', 1, 2, 3, NULL)").unwrap();
        drop(old);
        for _ in 0..2 {
            let list = Clients::open(&path).unwrap().list(true).unwrap();
            let [client] = &list[..] else { panic!("one client") };
            assert_eq!((client.name.as_str(), client.created, client.netmap), ("a.example", 3, None));
        }
        let clients = Clients::open(&path).unwrap();
        clients.add_with(&authority(), "b.example", 30, None, Some(2)).unwrap();
        assert_eq!(clients.list(false).unwrap()[1].netmap, Some(2));
    }
}
