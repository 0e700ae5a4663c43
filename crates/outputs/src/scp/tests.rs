//! What the programs are asked, with programs that only note it.

use super::*;
use std::time::Instant;
use tempfile::TempDir;

/// Programs that note their arguments and then do as a line of shell says.
struct Fake {
    folder: TempDir,
    session: Session,
}

impl Fake {
    fn new(remote: Remote, [scp, ssh, sftp]: [&str; 3]) -> Fake {
        let folder = TempDir::new().unwrap();
        let program = |name: &str, what: &str| {
            let path = folder.path().join(name);
            let log = folder.path().join("log");
            let script = format!("#!/bin/sh\n(echo {name} \"$@\"; cat) >> {}\n{what}\n", log.display());
            // Written by another process: while one has it open for writing it cannot be run.
            let mut write = Command::new("sh")
                .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
                .arg(&path)
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            write.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(write.wait().unwrap().success());
            path
        };
        let programs = Programs { scp: program("scp", scp), ssh: program("ssh", ssh), sftp: program("sftp", sftp) };
        Fake { session: Session::new(Scp { remote, programs }), folder }
    }

    fn copy(&mut self) -> Result<(), ScpError> {
        let files: Vec<PathBuf> = ["e1", "e2"].iter().map(|name| self.folder.path().join(name)).collect();
        let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
        self.session.copy(self.folder.path(), &files, &AtomicBool::new(false))
    }

    /// What was asked since the last time, without the folder and what is always the same.
    fn asked(&self) -> Vec<String> {
        let log = self.folder.path().join("log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        let always = " -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4";
        let folder = format!("{}/", self.folder.path().display());
        text.replace(always, "").replace(&folder, "").lines().map(str::to_owned).collect()
    }
}

#[test]
fn files_are_sent_under_hidden_names_and_renamed_together() {
    let remote = Remote {
        user: Some("siem".into()),
        host: "2001:db8::1".into(),
        port: Some(2222),
        folder: "in/a".into(),
        key: Some("/keys/id".into()),
        config: Some("/keys/config".into()),
    };
    let mut fake = Fake::new(remote, ["", "", ""]);
    fake.copy().unwrap();
    let options = "-F /keys/config -o User=siem -o Port=2222 -i /keys/id";
    assert_eq!(
        fake.asked(),
        [
            format!("scp {options} -- .scp/.e1.part .scp/.e2.part [2001:db8::1]:./in/a/"),
            format!(
                "ssh {options} -T -- 2001:db8::1 mv -f ./in/a/.e1.part ./in/a/e1 && mv -f ./in/a/.e2.part ./in/a/e2"
            ),
        ]
    );
    assert_eq!(fake.session.describe(), "siem@2001:db8::1:in/a");
    assert!(!fake.folder.path().join(".scp").exists());
}

#[test]
fn where_no_commands_are_allowed_sftp_renames_and_this_is_remembered() {
    let remote: Remote = "h/in".parse().unwrap();
    let mut fake = Fake::new(remote, ["", "echo 'sftp only' >&2; exit 1", ""]);
    fake.copy().unwrap();
    let asked = fake.asked();
    let (scp, sftp) = ("scp -- .scp/.e1.part .scp/.e2.part h:/in/", "sftp -b - -- h");
    let batch = ["rename /in/.e1.part /in/e1", "rename /in/.e2.part /in/e2"];
    assert_eq!(asked[0], scp);
    assert!(asked[1].starts_with("ssh -T -- h mv -f /in/.e1.part /in/e1 && "));
    assert_eq!(asked[2..], [sftp, batch[0], batch[1]]);
    fake.copy().unwrap();
    assert_eq!(fake.asked(), [scp, sftp, batch[0], batch[1]]);
}

#[test]
fn where_nothing_can_be_renamed_files_get_their_names_at_once() {
    let mut fake = Fake::new("h/".parse().unwrap(), ["", "exit 1", "exit 1"]);
    fake.copy().unwrap();
    let direct = "scp -- e1 e2 h:/";
    assert_eq!(fake.asked().last().unwrap(), direct);
    fake.copy().unwrap();
    assert_eq!(fake.asked(), [direct]);
}

#[test]
fn a_connection_that_fails_changes_nothing() {
    let mut fake = Fake::new("h/:in".parse().unwrap(), ["", "echo 'Connection reset' >&2; exit 255", "exit 255"]);
    let error = fake.copy().unwrap_err().to_string();
    assert_eq!(error, "cannot copy to h:in: Connection reset");
    assert_eq!((fake.session.rename, fake.asked().len()), (Rename::Shell, 5));
}

#[test]
fn what_a_program_says_is_short_and_has_a_remedy() {
    let loud = "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; \
                echo '@@@@@' >&2; printf 'Host key verification failed.\\r\\nlost\\033connection\\n' >&2; exit 255";
    let mut fake = Fake::new("h/".parse().unwrap(), [loud, "", ""]);
    let error = fake.copy().unwrap_err().to_string();
    assert!(error.contains("Host key verification failed.; lost connection; the key of that host"), "{error}");
    assert!(error.starts_with("cannot copy to h:/: ") && error.len() < 1300, "{error}");
    let mut fake = Fake::new("h/".parse().unwrap(), ["exit 3", "", ""]);
    assert!(fake.copy().unwrap_err().to_string().ends_with("scp ended with exit status: 3"));
    let mut fake = Fake::new("h/".parse().unwrap(), ["", "", ""]);
    fake.session.scp.programs.scp = "/nonexistent/scp".into();
    assert_eq!(
        fake.copy().unwrap_err().to_string(),
        "cannot copy to h:/: /nonexistent/scp: No such file or directory (os error 2); the folder must exist there"
    );
}

#[test]
fn told_to_stop_a_copy_ends_at_once() {
    let fake = Fake::new("h/".parse().unwrap(), ["sleep 60 & wait", "", ""]);
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !fake.folder.path().join("log").exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            stop.store(true, Ordering::Relaxed);
        });
        let sent = fake.session.send(&["e1"], &stop);
        assert_eq!(sent.unwrap_err().said, "stopped");
    });
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_is_missing_is_named() {
    let folder = TempDir::new().unwrap();
    let error = find(folder.path().as_os_str(), "scp").unwrap_err().to_string();
    assert!(error.starts_with("scp is not installed, or not in PATH; install the OpenSSH client"), "{error}");
    let remote = Remote { key: Some(folder.path().join("id")), ..("h/".parse().unwrap()) };
    let error = Scp::new(remote, "e{0}").unwrap_err().to_string();
    assert!(error.starts_with("the key ") && error.contains("scpKeyFilepath"), "{error}");
    let error = Scp::new("h/".parse().unwrap(), "e{0};x").unwrap_err().to_string();
    assert_eq!(error, "the file name \"e;x\" may have letters, digits and ._-+=,@/ only");
}

#[test]
fn remotes_have_labels_of_their_own() {
    let label = |text: &str| text.parse::<Remote>().unwrap().label();
    assert_eq!(label("siem@h:22/in/a"), "siem@h%22%%%in%a");
    assert_eq!(label("[::1]:in"), "--1%%in");
    let all = ["h/a/b", "h:a/b", "h/a_b", "h:22/a/b", "u@h/a/b", "h/", "h:"].map(label);
    assert!(all.iter().enumerate().all(|(i, l)| !all[..i].contains(l) && !l.contains('/')), "{all:?}");
}
