//! Who is logged in: secrets in cookies, of which hashes are kept in memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A login that is not used for so many seconds ends.
pub(crate) const IDLE: i64 = 30 * 60;

/// A login ends after so many seconds, used or not.
pub(crate) const LONGEST: i64 = 12 * 3600;

/// Logins at a time; the one unused for longest makes room.
const MOST: usize = 256;

/// The logins.
#[derive(Debug, Default)]
pub(crate) struct Logins(Mutex<HashMap<String, Login>>);

/// A login.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// Hash of the cookie's secret.
    pub(crate) id: String,
    /// What a page has to show, besides the cookie, with each change: another site does not know it.
    pub(crate) csrf: String,
    /// Where it came from.
    pub(crate) address: IpAddr,
    /// Which password it was made with.
    generation: String,
    created: i64,
    used: i64,
}

impl Login {
    /// When it ends if it is not used any more, Unix seconds.
    pub(crate) fn expires(&self) -> i64 {
        (self.used + IDLE).min(self.created + LONGEST)
    }
}

impl Logins {
    /// A new login: the secret for the cookie, and what is known of it.
    pub(crate) fn create(&self, address: IpAddr, generation: String, now: i64) -> pki::Result<(String, Login)> {
        let (secret, csrf) = (pki::token::create()?, pki::token::create()?);
        let login = Login { id: pki::token::hash(&secret), csrf, address, generation, created: now, used: now };
        let mut logins = self.lock();
        logins.retain(|_, login| login.expires() > now);
        if logins.len() >= MOST
            && let Some(oldest) = logins.values().min_by_key(|l| l.used).map(|l| l.id.clone())
        {
            logins.remove(&oldest);
        }
        logins.insert(login.id.clone(), login.clone());
        Ok((secret, login))
    }

    /// The login of a secret, if it is still good and was made with the present password; it counts as used now.
    pub(crate) fn find(&self, secret: &str, generation: &str, now: i64) -> Option<Login> {
        let id = pki::token::hash(secret);
        let mut logins = self.lock();
        let login = logins.get_mut(&id)?;
        if login.expires() <= now || login.generation != generation {
            logins.remove(&id);
            return None;
        }
        login.used = now;
        Some(login.clone())
    }

    /// Ends a login.
    pub(crate) fn end(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The password was changed: all other logins end.
    pub(crate) fn keep_only(&self, id: &str, generation: &str) {
        let mut logins = self.lock();
        logins.retain(|known, _| known == id);
        if let Some(login) = logins.get_mut(id) {
            generation.clone_into(&mut login.generation);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_end_idle_old_or_with_the_password() {
        let logins = Logins::default();
        let home = [127, 0, 0, 1].into();
        let (secret, login) = logins.create(home, "g".into(), 1000).unwrap();
        assert!(secret.len() == 64 && login.csrf.len() == 64 && login.id != secret);
        assert_eq!(login.expires(), 1000 + IDLE);
        assert!(logins.find("other", "g", 1000).is_none());
        // Used again and again it lasts, but not for ever.
        let mut now = 1000;
        while now + 1000 < 1000 + LONGEST {
            now += 1000;
            assert!(logins.find(&secret, "g", now).is_some(), "{now}");
        }
        assert!(logins.find(&secret, "g", 1000 + LONGEST).is_none());
        let (secret, _) = logins.create(home, "g".into(), 1000).unwrap();
        assert!(logins.find(&secret, "g", 1000 + IDLE).is_none());
        let (secret, _) = logins.create(home, "g".into(), 1000).unwrap();
        assert!(logins.find(&secret, "h", 1000).is_none());
        let (mine, login) = logins.create(home, "g".into(), 1000).unwrap();
        let (other, _) = logins.create(home, "g".into(), 1000).unwrap();
        logins.keep_only(&login.id, "h");
        assert!(logins.find(&mine, "h", 1001).is_some() && logins.find(&other, "h", 1001).is_none());
        logins.end(&login.id);
        assert!(logins.find(&mine, "h", 1001).is_none());
    }

    #[test]
    fn their_number_is_limited() {
        let logins = Logins::default();
        let mut first = None;
        for i in 0..300 {
            let (secret, _) = logins.create([127, 0, 0, 1].into(), "g".into(), i).unwrap();
            first.get_or_insert(secret);
        }
        assert_eq!(logins.lock().len(), MOST);
        assert!(logins.find(&first.unwrap(), "g", 300).is_none());
    }
}
