//! The files of a management center, and of the collector whose first one it is: `HOST-PORT_…` beside the configuration, as eNcore names them.

use super::Server;
use std::path::{Path, PathBuf};

/// Where the files of an instance are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    folder: PathBuf,
    stem: String,
}

impl Instance {
    /// The instance for this management center, in this folder.
    pub fn new(folder: &Path, host: &str, port: u16) -> Instance {
        // eNcore has the host as it is; a colon of an IPv6 address, which it cannot connect to, is no part of a name.
        Instance { folder: folder.to_owned(), stem: format!("{}-{port}", host.replace([':', '/'], "_")) }
    }

    /// The instance of a server.
    pub fn of(folder: &Path, server: &Server) -> Instance {
        Instance::new(folder, &server.host, server.port)
    }

    /// The absolute beginning of all its names.
    pub fn stem(&self) -> PathBuf {
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        folder.join(&self.stem)
    }

    fn file(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}_{end}", self.stem))
    }

    /// Fingerprint of the server's certificate, when nothing else verifies it.
    pub fn pin(&self) -> PathBuf {
        self.file("server.pin")
    }

    /// eNcore's position in the stream, kept up to date for tools and for the way back.
    pub fn bookmark(&self) -> PathBuf {
        self.file("bookmark.dat")
    }

    /// eNcore's names, which are not read.
    pub fn cache(&self) -> PathBuf {
        self.file("cache.dat")
    }

    /// The certificate eNcore took out of the PKCS#12 file.
    pub fn certificate(&self) -> PathBuf {
        self.file("pkcs.cert")
    }

    /// Its private key.
    pub fn key(&self) -> PathBuf {
        self.file("pkcs.key")
    }

    /// What a running collector does.
    pub fn status(&self) -> PathBuf {
        self.file("status.dat")
    }

    /// Its process id.
    pub fn pid(&self) -> PathBuf {
        self.file("proc.pid")
    }

    /// What a collector said before its log was open.
    pub fn early(&self) -> PathBuf {
        self.file("start.out")
    }
}
