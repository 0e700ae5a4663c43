//! The administrator's password.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::path::PathBuf;

/// The least number of characters of a password.
pub const MIN_PASSWORD: usize = 10;

/// The most bytes of a password: more is no password but an attack.
const MAX_PASSWORD: usize = 1024;

/// The largest file of a hash, in bytes.
const MAX_FILE: u64 = 4096;

/// The file `admin.password` of a home, which has the Argon2id hash of the password and nothing else (mode 0600).
#[derive(Debug, Clone)]
pub struct Password {
    path: PathBuf,
}

/// Why a password cannot be set or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too short.
    #[error("the password has {length} characters; give at least {MIN_PASSWORD}")]
    Short {
        /// Its characters.
        length: usize,
    },
    /// Too long.
    #[error("the password is too long; give at most {MAX_PASSWORD} bytes")]
    Long,
    /// The file is damaged, or no random numbers can be had.
    #[error("the password cannot be hashed or its hash in {} not be read ({reason}); set it again with \"estreamer admin password\"", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] pki::Error),
}

impl Password {
    /// That of a home.
    pub fn of(home: &server::Home) -> Password {
        Password { path: home.dir().join("admin.password") }
    }

    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.path.exists()
    }

    /// Sets it. Everybody who is logged in has to log in again.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn set(&self, password: &str) -> Result<(), PasswordError> {
        check_password(password)?;
        let hash = Argon2::default().hash_password(password.as_bytes()).map_err(|e| self.bad(&e))?.to_string();
        Ok(pki::write_private(&self.path, hash.as_bytes())?)
    }

    /// Whether this is it. Takes some tens of milliseconds and 19 MiB. Without a password none is right.
    ///
    /// # Errors
    /// [`PasswordError::Hash`], [`PasswordError::File`].
    pub fn verify(&self, password: &str) -> Result<bool, PasswordError> {
        let Some(hash) = self.hash()? else { return Ok(false) };
        if password.len() > MAX_PASSWORD {
            return Ok(false);
        }
        let hash = PasswordHash::new(&hash).map_err(|e| self.bad(&e))?;
        match Argon2::default().verify_password(password.as_bytes(), &hash) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(self.bad(&error)),
        }
    }

    /// What changes whenever the password is set, so that logins from before can be told; `None` without a password.
    ///
    /// # Errors
    /// [`PasswordError::File`].
    pub(crate) fn generation(&self) -> Result<Option<String>, PasswordError> {
        Ok(self.hash()?.map(|hash| pki::token::hash(&hash)))
    }

    fn hash(&self) -> Result<Option<String>, PasswordError> {
        if !self.is_set() {
            return Ok(None);
        }
        let bytes = pki::read_bounded(&self.path, MAX_FILE)?;
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    fn bad(&self, error: &impl std::fmt::Display) -> PasswordError {
        PasswordError::Hash { path: self.path.clone(), reason: error.to_string() }
    }
}

/// Whether a password may be set.
///
/// # Errors
/// [`PasswordError::Short`], [`PasswordError::Long`].
pub fn check_password(password: &str) -> Result<(), PasswordError> {
    let length = password.chars().count();
    if length < MIN_PASSWORD {
        return Err(PasswordError::Short { length });
    }
    if password.len() > MAX_PASSWORD { Err(PasswordError::Long) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_password_is_hashed_checked_and_changed() {
        let dir = tempfile::tempdir().unwrap();
        let password = Password { path: dir.path().join("p") };
        assert!(!password.is_set() && !password.verify("").unwrap() && password.generation().unwrap().is_none());
        assert!(matches!(password.set("123456789"), Err(PasswordError::Short { length: 9 })));
        assert!(matches!(password.set(&"x".repeat(2000)), Err(PasswordError::Long)));
        assert!(!password.is_set());
        password.set("ten letters").unwrap();
        let first = password.generation().unwrap();
        assert!(password.verify("ten letters").unwrap());
        assert!(!password.verify("ten letterS").unwrap() && !password.verify(&"x".repeat(2000)).unwrap());
        let text = std::fs::read_to_string(&password.path).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && !text.contains("letters"), "{text}");
        assert_eq!(std::fs::metadata(&password.path).unwrap().permissions().mode() & 0o777, 0o600);
        password.set("ten letters").unwrap();
        assert_ne!(password.generation().unwrap(), first);
        std::fs::write(&password.path, "nonsense").unwrap();
        assert!(matches!(password.verify("ten letters"), Err(PasswordError::Hash { .. })));
    }
}
