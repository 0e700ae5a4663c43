//! A disk that can be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A small file system in memory; it is unmounted when the value is dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts one of so many MiB at a folder, which is made. Only root can: else the test is skipped, and says so.
    pub fn mount(path: &Path, mebibytes: u32) -> Option<Disk> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={mebibytes}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "estreamer-test"]).arg(path).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            println!("skipped: no file system can be mounted here; run the test as root");
            return None;
        }
        Some(Disk(path.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Takes all room there is.
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).unwrap();
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Gives it back.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Processes that are about to be killed may still be in there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
