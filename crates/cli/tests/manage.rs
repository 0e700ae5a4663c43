//! `estreamer manage`: the service started, stopped, restarted, reloaded and asked.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::peer::Client;
use support::{Daemon, Finished, Process, Site, program, run, wait_for};

/// An event stream request for intrusion events that come from now on.
const NOW: [u8; 16] = [0, 1, 0, 2, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0x08, 0x90, 0, 0x61];

fn manage(site: &Site, action: &str) -> Finished {
    site.run(&["manage", action, "--home", &site.home()])
}

/// The status as JSON.
fn status(site: &Site) -> Value {
    serde_json::from_str(&site.run(&["manage", "status", "--json", "--home", &site.home()]).out).unwrap()
}

/// The service that runs now.
fn daemon(site: &Site) -> Daemon {
    Daemon(u32::try_from(status(site)["pid"].as_u64().unwrap()).unwrap())
}

/// Starts the service in the background, on a free port.
fn begin(site: &Site, options: &[&str]) -> Daemon {
    let home = site.home();
    site.run(&[&["server", "--home", &home, "--listen", "127.0.0.1:0"], options].concat()).success();
    daemon(site)
}

#[test]
fn actions_do_what_they_say_and_nothing_twice() {
    let site = Site::new();
    site.settings("listen = [\"127.0.0.1:0\"]\n");
    let pkcs12 = site.client("127.0.0.1");
    let stopped = manage(&site, "status");
    assert_eq!(stopped.code, Some(3), "{stopped:?}");
    assert!(stopped.out.contains("does not run\nArchive of netmap 0: empty\n"), "{stopped:?}");
    assert_eq!(manage(&site, "stop").success(), "The service does not run\n");
    manage(&site, "reload").failed(3, &["the service does not run"]);

    let said = manage(&site, "3").success();
    let first = daemon(&site);
    assert_eq!(said, format!("The service runs (pid {}); its log is {}/log/server.log\n", first.0, site.home()));
    assert_eq!(manage(&site, "start").success(), format!("The service runs already (pid {})\n", first.0));
    let mode = fs::metadata(site.path("home/run/server.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    site.run(&["sensor", "simulate", "--home", &site.home(), "--events", "5"]).success();
    let address = status(&site)["listen"][0].as_str().unwrap().parse().unwrap();
    let mut client = Client::connect(address, &pkcs12);
    client.send(&NOW).unwrap();
    wait_for("a session", || (status(&site)["sessions"][0]["state"] == "streaming").then_some(()));
    let words = manage(&site, "1").success();
    for expected in [
        &format!("runs: pid {}, since ", first.0),
        "UTC, in the background\n",
        &format!("Listening on {address}\n"),
        "Connections: 1 open; 1 accepted and 0 refused since the start\n",
        "  [1] 127.0.0.1 from 127.0.0.1:",
        ": streaming, ",
        "Archive of netmap 0: from ",
    ] {
        assert!(words.contains(expected), "{expected:?} is missing in\n{words}");
    }
    assert_eq!(manage(&site, "stop").success(), "The service has stopped; 1 connection was open\n");
    assert!(!first.runs() && !site.path("home/run/server.sock").exists());
    client.rest();
}

#[test]
fn a_restart_keeps_the_options_and_never_leaves_nothing_running() {
    let site = Site::new();
    let first = begin(&site, &["--nohostcheck", "--debug"]);
    let options = status(&site)["options"].clone();
    assert_eq!(options, json!(["--listen", "127.0.0.1:0", "--debug", "--nohostcheck"]));
    let said = manage(&site, "4").success();
    assert!(said.contains("Starting it again with --listen 127.0.0.1:0 --debug --nohostcheck\n"), "{said}");
    assert!(!first.runs());
    let second = daemon(&site);
    assert_eq!(status(&site)["options"], options);
    // With these settings it could not be started: it is not stopped either.
    site.settings("max_connections = 0\n");
    manage(&site, "restart").failed(1, &["max_connections = 0 is out of range", "runs on as it was"]);
    assert!(second.runs());
    site.settings("");
    // A kill leaves pid file and socket; both are known for what they are.
    second.signal(Signal::KILL);
    wait_for("its end", || (!second.runs()).then_some(()));
    assert_eq!(manage(&site, "status").code, Some(3));
    site.settings("listen = [\"127.0.0.1:0\"]\n");
    assert!(manage(&site, "restart").success().starts_with("The service does not run\nThe service runs (pid "));
    let third = daemon(&site);
    assert_eq!(manage(&site, "stop").success(), "The service has stopped; 0 connections were open\n");
    assert!(!third.runs());
}

#[test]
fn the_status_tells_where_the_administration_page_is_or_why_it_is_off() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let _first = begin(&site, &["--admin", &address]);
    let page = || status(&site)["administration"].clone();
    let off = |why: &str| {
        let off = wait_for(why, || page()["off"].as_str().filter(|off| off.contains(why)).map(str::to_owned));
        assert_eq!(page()["urls"], json!([]));
        let words = manage(&site, "status").success();
        assert!(words.contains(&format!("\nAdministration page: off: {off}\n")), "{words}");
    };
    off(&format!("it has no password. To switch it on: estreamer admin password --home {}", site.home()));
    let home = site.home();
    let mut password = Command::new(program());
    password.args(["admin", "password", "--home", &home]).env("ESTREAMER_ADMIN_PASSWORD", "a long password");
    run(&mut password, b"").success();
    off(&format!("cannot listen on {address}: "));
    manage(&site, "stop").success();
    // Not there is not the same as off by itself: a service that does not run tells nothing of it.
    assert_eq!(page(), Value::Null);
    drop(taken);
    let _second = begin(&site, &["--admin", &address]);
    let url = format!("https://{address}/");
    wait_for("the page", || (page() == json!({"urls": [url], "off": null})).then_some(()));
    let words = manage(&site, "status").success();
    assert!(words.contains(&format!("\nAdministration page: {url}\n")), "{words}");
    manage(&site, "stop").success();
    site.settings("admin_listen = []\n");
    let _third = begin(&site, &[]);
    off("admin_listen in settings.toml is empty");
}

#[test]
fn a_reload_answers_what_came_of_it() {
    let site = Site::new();
    let _daemon = begin(&site, &[]);
    site.settings("netmap = 1\nlog_level = \"debug\"\n");
    let said = manage(&site, "5").success();
    assert_eq!(
        said,
        "Settings and certificates were read again; open sessions keep the old settings\n\
         The new value of \"netmap\" counts after a restart only\n"
    );
    site.settings("log_level = \"loud\"\n");
    let rejected = manage(&site, "reload");
    rejected.failed(
        1,
        &["the reload was rejected: ", "settings.toml, line 1: log_level", "The old settings stay in force"],
    );
    let words = manage(&site, "status").success();
    assert!(words.contains(" was rejected, the old settings stay in force: ") && words.contains("`loud`"), "{words}");
    // A certificate that cannot be read is as good a reason.
    site.settings("");
    let certificate = site.path("home/server/server.crt");
    let kept = fs::read(&certificate).unwrap();
    fs::write(&certificate, "nothing").unwrap();
    manage(&site, "reload").failed(1, &["the reload was rejected: ", "server.crt"]);
    fs::write(&certificate, kept).unwrap();
    manage(&site, "reload").success();
    assert_eq!(status(&site)["reload"]["error"], Value::Null);
}

#[test]
fn a_menu_is_read_from_a_pipe_to_its_end() {
    let site = Site::new();
    site.settings("listen = [\"127.0.0.1:0\"]\n");
    let menu = |input: &str| {
        let mut command = Command::new(program());
        run(command.arg("manage").env("ESTREAMER_HOME", site.home()), input.as_bytes())
    };
    let all = menu("1\n3\n\n7\nSTATUS\n");
    let daemon = daemon(&site);
    assert_eq!(all.code, Some(0), "the last one succeeded: {all:?}");
    assert!(all.err.contains("\"7\" is no choice: give a number from 0 to 5"), "{all:?}");
    let order = [
        "1) Query status",
        "2) Stop",
        "3) Start",
        "4) Restart",
        "5) Reload",
        "0) Exit",
        "does not run",
        "The service runs (pid ",
    ];
    let mut rest = all.out.as_str();
    for words in order {
        let Some((_, after)) = rest.split_once(words) else { panic!("{words:?} is missing in {all:?}") };
        rest = after;
    }
    assert!(rest.contains(" runs: pid "), "{all:?}");
    assert_eq!(menu("2\nq\n3\n").code, Some(0));
    assert!(!daemon.runs());
    assert_eq!(menu("1\n").code, Some(3));
    // What fails does not end the menu, but its code is told.
    site.settings("x = 1\n");
    let failed = menu("3\n");
    failed.failed(1, &["the service did not start.", "settings.toml, line 1: x"]);
    site.settings("");
    site.run(&["manage", "--home", &site.path("none").display().to_string()]).failed(1, &["is no eStreamer home"]);
    site.run(&["manage", "6", "--home", &site.home()]).failed(2, &["invalid value '6'"]);
    site.run(&["manage", "stop"]).failed(2, &["--home <DIR>"]);
}

#[test]
fn start_errors_are_told_in_words() {
    let site = Site::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.settings(&format!("listen = [\"{}\"]\n", taken.local_addr().unwrap()));
    manage(&site, "start").failed(1, &["the service did not start.", "Another program has this port"]);
    assert_eq!(manage(&site, "status").code, Some(3));
    drop(taken);
    // A log file that cannot be made.
    site.settings("listen = [\"127.0.0.1:0\"]\nlog_file = \"no/such/folder/log\"\n");
    manage(&site, "start").failed(1, &["the service did not start. the log", "no/such/folder/log cannot be opened"]);
}

#[test]
fn a_service_in_the_foreground_or_of_systemd_is_known_as_such() {
    let site = Site::new();
    let home = site.home();
    let arguments = ["server", "--nodaemon", "--home", &home, "--listen", "127.0.0.1:0"];
    let variables = [("NOTIFY_SOCKET", "@estreamer-nobody-listens-here")];
    let mut process = Process::start_with(&site.path("log"), &site.path(""), &arguments, &variables);
    wait_for("the service", || (status(&site)["running"] == true).then_some(()));
    assert!(manage(&site, "status").success().contains(", run by systemd ("));
    for action in ["stop", "restart"] {
        manage(&site, action).failed(1, &["systemd runs this service", &format!("systemctl {action}")]);
    }
    assert!(process.running());
    assert!(manage(&site, "start").success().contains("runs already"));
    manage(&site, "reload").success();
    process.terminate();

    let mut process = Process::start(&site.path("log"), &site.path(""), &arguments);
    wait_for("the service", || (status(&site)["running"] == true).then_some(()));
    assert!(manage(&site, "status").success().contains(", in the foreground\n"));
    assert_eq!(manage(&site, "stop").success(), "The service has stopped; 0 connections were open\n");
    assert!(process.wait().success());
}

#[test]
fn a_home_with_a_long_path_has_a_socket_too() {
    let site = Site::new();
    let long = site.path(&"long".repeat(40));
    fs::rename(site.path("home"), &long).unwrap();
    let home = long.to_str().unwrap();
    site.run(&["server", "--home", home, "--listen", "127.0.0.1:0"]).success();
    let said = site.run(&["manage", "status", "--json", "--home", home]).success();
    let status: Value = serde_json::from_str(&said).unwrap();
    let _daemon = Daemon(u32::try_from(status["pid"].as_u64().unwrap()).unwrap());
    site.run(&["manage", "reload", "--home", home]).success();
    site.run(&["manage", "stop", "--home", home]).success();
}

/// A user that every machine has: nobody.
const NOBODY: u32 = 65_534;

#[test]
fn root_starts_it_as_the_owner_of_the_home() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start a service as somebody else");
        return;
    }
    let site = Site::new();
    site.settings("listen = [\"127.0.0.1:0\"]\n");
    // Nobody must be able to get at program and home.
    let open = |path: PathBuf| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = site.path("estreamer");
    fs::copy(program(), &copy).unwrap();
    open(copy.clone());
    open(site.path(""));
    let mut folders = vec![site.path("home")];
    while let Some(path) = folders.pop() {
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        if path.is_dir() {
            folders.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    let manage = |action: &str| run(Command::new(&copy).args(["manage", action, "--home", &site.home()]), b"");
    // Root has left something behind.
    fs::write(site.path("home/run/server.out"), "").unwrap();
    let mut running = None;
    for action in ["start", "restart"] {
        manage(action).success();
        let daemon = daemon(&site);
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.0)).unwrap();
        let ids = |key: &str| status.lines().find_map(|l| l.strip_prefix(key)).unwrap().trim().to_owned();
        let four = vec![NOBODY.to_string(); 4].join("\t");
        assert_eq!((ids("Uid:"), ids("Gid:"), ids("Groups:")), (four.clone(), four, String::new()));
        let owner = |name: &str| fs::metadata(site.path(name)).unwrap().uid();
        assert_eq!([owner("home/log/server.log"), owner("home/run/server.sock")], [NOBODY; 2]);
        running.replace(daemon);
    }
    manage("stop").success();
}
