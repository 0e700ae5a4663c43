//! Who may use a service over HTTP: names, and hashes of their secrets, in a private file.

use crate::error::Error;
use crate::{files, token};
use std::path::{Path, PathBuf};

/// The file of the tokens: a line each, name and hash.
#[derive(Debug, Clone)]
pub struct Tokens {
    path: PathBuf,
}

/// The largest file.
const MAX_FILE: u64 = 1 << 20;

/// The longest name: names of files and sources are made of it.
const MAX_NAME: usize = 48;

impl Tokens {
    /// The tokens of a file, which need not be there.
    pub fn new(path: &Path) -> Tokens {
        Tokens { path: path.to_owned() }
    }

    /// Makes a token; only its hash is kept.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn add(&self, name: &str) -> Result<String, TokenError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(TokenError::Name { name: name.to_owned() });
        }
        let mut entries = self.read()?;
        if entries.iter().any(|(known, _)| known == name) {
            return Err(TokenError::There { name: name.to_owned() });
        }
        let secret = token::create()?;
        entries.push((name.to_owned(), token::hash(&secret)));
        self.write(&entries)?;
        Ok(secret)
    }

    /// Removes a token: it is refused from now on.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn remove(&self, name: &str) -> Result<(), TokenError> {
        let mut entries = self.read()?;
        let before = entries.len();
        entries.retain(|(known, _)| known != name);
        if entries.len() == before {
            return Err(TokenError::Absent { name: name.to_owned() });
        }
        self.write(&entries)
    }

    /// The names.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn names(&self) -> Result<Vec<String>, TokenError> {
        Ok(self.read()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Whose token this is. Hashes are compared, so the time it takes tells nothing about a token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn find(&self, secret: &str) -> Result<Option<String>, TokenError> {
        let hash = token::hash(secret);
        Ok(self.read()?.into_iter().find(|(_, known)| *known == hash).map(|(name, _)| name))
    }

    fn read(&self) -> Result<Vec<(String, String)>, TokenError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let bytes = files::read_bounded(&self.path, MAX_FILE)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Ok(lines.map(|(name, hash)| (name.to_owned(), hash.trim().to_owned())).collect())
    }

    fn write(&self, entries: &[(String, String)]) -> Result<(), TokenError> {
        let text: String = entries.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
        Ok(files::write_private(&self.path, text.as_bytes())?)
    }
}

/// Why a token cannot be made, removed or looked up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is unusable.
    #[error("{name:?} cannot be the name of a token: give 1 to 48 letters, digits, dots, underscores and hyphens")]
    Name {
        /// The name.
        name: String,
    },
    /// There is one of this name.
    #[error("there is a token {name} already; remove it first to make a new one")]
    There {
        /// The name.
        name: String,
    },
    /// There is none of this name.
    #[error("there is no token {name}")]
    Absent {
        /// The name.
        name: String,
    },
    /// The file or the random numbers.
    #[error(transparent)]
    Pki(#[from] Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_until_they_are_removed_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(&dir.path().join("tokens"));
        assert_eq!(tokens.names().unwrap(), Vec::<String>::new());
        let (one, two) = (tokens.add("one").unwrap(), tokens.add("two").unwrap());
        assert!(matches!(tokens.add("one"), Err(TokenError::There { .. })));
        assert!(matches!(tokens.add("a b"), Err(TokenError::Name { .. })));
        assert_eq!(tokens.find(&one).unwrap().as_deref(), Some("one"));
        assert_eq!(tokens.find("").unwrap(), None);
        let text = std::fs::read_to_string(dir.path().join("tokens")).unwrap();
        assert!(!text.contains(&one) && !text.contains(&two));
        tokens.remove("one").unwrap();
        assert_eq!(tokens.find(&one).unwrap(), None);
        assert_eq!(tokens.names().unwrap(), ["two"]);
        assert!(matches!(tokens.remove("one"), Err(TokenError::Absent { .. })));
    }
}
