//! The administration page in a real browser, in front of the real server with the simulator feeding it: what an
//! administrator does from login to logout. Pictures of every view are left in `target/screenshots/`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::browser::Browser;
use support::{Process, Site, wait_for};

const PASSWORD: &str = "a horse, a battery and a staple";
const NEW_PASSWORD: &str = "another horse, and a fence";
const FILE_PASSWORD: &str = "trees and rivers";
const CLIENT: &str = "127.0.0.1";
const VIEWS: [&str; 8] = ["overview", "events", "clients", "sessions", "sensors", "hosts", "log", "settings"];

/// Everything around the page.
struct Scene {
    site: Site,
    browser: Browser,
    server: support::Server,
    _simulator: Process,
    /// Where the page is, without a slash at the end.
    origin: String,
}

impl Scene {
    /// Starts it all; `None` with a message when there is no browser.
    fn start() -> Option<Scene> {
        let site = Site::new();
        let browser = Browser::start(&site.path(""))?;
        let password = site.path("password");
        fs::write(&password, PASSWORD).unwrap();
        let home = site.home();
        site.run(&["admin", "password", "--home", &home, "--password-file", password.to_str().unwrap()]).success();
        let server = site.serve(&["--admin", "127.0.0.1:0"]);
        let line = server.process.line("https://127.0.0.1:");
        let address = line.split_ascii_whitespace().find(|word| word.starts_with("https://")).unwrap();
        let origin = address.trim_end_matches(['.', '/', ',']).to_owned();
        let _simulator = site.start("simulator", &["sensor", "simulate", "--home", &home, "--rate", "50"]);
        Some(Scene { site, browser, server, _simulator, origin })
    }

    /// Goes to a view, by its link.
    fn visit(&self, view: &str) {
        self.browser.click(&format!("#nav-{view}"));
        self.browser.element(&format!("main[data-view={view}][data-loaded]"));
    }

    /// The arguments of the reference client, with the file the browser has downloaded.
    fn client_arguments<'a>(&'a self, port: &'a str, pkcs12: &'a Path) -> Vec<&'a str> {
        let file = pkcs12.to_str().unwrap();
        vec!["ssl-test", CLIENT, "-po", port, "-pk", file, "-pa", FILE_PASSWORD, "-s", "all", "--extended"]
    }

    /// Pictures of every view as a desktop and a phone show it, light and dark.
    fn pictures(&self) {
        // Nothing in front of what is to be seen.
        self.browser.run("document.querySelectorAll('.message button').forEach(button => button.click())", &[]);
        for view in VIEWS {
            // On a phone the links are in a menu, so a view is opened before.
            self.browser.show_as((1440, 900), false, "light");
            self.visit(view);
            for (device, size, phone) in [("desktop", (1440, 900), false), ("phone", (390, 844), true)] {
                for scheme in ["light", "dark"] {
                    self.browser.show_as(size, phone, scheme);
                    self.fits(view);
                    self.picture(&format!("{view}-{device}-{scheme}"));
                }
            }
            // The narrowest phone, and a small window, where tables have little room.
            for (size, phone) in [((360, 740), true), ((1000, 700), false)] {
                self.browser.show_as(size, phone, "light");
                self.fits(view);
            }
        }
        self.browser.show_as((1440, 900), false, "light");
    }

    fn picture(&self, name: &str) {
        // What depends on the size of the window is drawn in the next frame.
        self.browser
            .run("return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))", &[]);
        let path = folder().join(format!("{name}.png"));
        fs::write(&path, self.browser.screenshot()).unwrap();
        println!("{}", path.display());
    }

    /// Nothing is wider than the window, once it has its size.
    fn fits(&self, view: &str) {
        let script = "const root = document.documentElement; return root.scrollWidth <= root.clientWidth";
        wait_for(&format!("{view} without scrolling sideways"), || {
            (self.browser.run(script, &[]) == true).then_some(())
        });
    }

    /// Nothing was asked for elsewhere since the last call, and the console has no complaint but for answers the page was
    /// to get.
    fn quiet(&self) {
        let requests = self.browser.requests();
        assert!(requests.iter().any(|r| r.ends_with("/api/v1/overview")), "the requests are seen: {requests:?}");
        let inside = format!("{}/", self.origin);
        let foreign: Vec<&String> = requests.iter().filter(|r| !r.starts_with(&inside)).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        let entries = "return performance.getEntries().map(e => e.name).filter(n => /^[a-z]+:\\/\\//.test(n))";
        for entry in self.browser.run(entries, &[]).as_array().unwrap() {
            assert!(entry.as_str().unwrap().starts_with(&self.origin), "{entry}");
        }
        for (level, text) in self.browser.console() {
            let expected = [("session", 401), ("clients", 422), ("password", 403)].iter().any(|(path, status)| {
                text.contains(&format!("/api/v1/{path} - Failed to load resource"))
                    && text.contains(&status.to_string())
            });
            assert!(expected || !["SEVERE", "WARNING"].contains(&level.as_str()), "{level}: {text}");
        }
    }

    /// Whether `estreamer events list` has a mark at this type.
    fn captured(&self, key: &str) -> bool {
        let list = self.site.run(&["events", "list", "--home", &self.site.home(), "--json"]).success();
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        list.iter().find(|row| row["key"] == key).unwrap()["captured"].as_bool().unwrap()
    }
}

/// Where the pictures go.
fn folder() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("screenshots");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A count with its thousands separators.
fn count(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("no count: {text:?}"))
}

#[test]
fn from_login_to_logout() {
    let Some(mut scene) = Scene::start() else { return };
    log_in(&scene);
    check_boxes(&scene);
    let pkcs12 = create_client(&scene);

    let port = scene.server.address.port().to_string();
    let arguments = scene.client_arguments(&port, &pkcs12);
    let stays = [&arguments[..], &["-f", "events.txt"]].concat();
    let mut client = scene.site.start("client", &stays);
    see_session(&scene);
    end_session(&scene, &mut client);
    let mut client = scene.site.start("client", &stays);
    scene.browser.says("[data-session]", "streaming");
    see_sensors(&scene);
    see_hosts(&scene);
    scene.pictures();
    scene.quiet();
    pause_and_resume(&scene);
    renew(&scene);
    change_password(&scene);

    delete_client(&scene, &mut client);
    let refused = scene.site.run(&[&arguments[..], &["--count", "1"]].concat());
    assert_ne!(refused.code, Some(0), "{refused:#?}");
    assert!(refused.err.contains("revoked"), "{refused:#?}");

    log_out(&scene);
    scene.quiet();
    lose_the_server(&mut scene);
    guess(&scene);
}

fn log_in(scene: &Scene) {
    let browser = &scene.browser;
    browser.open(&format!("{}/", scene.origin));
    browser.element(".login input[type=password]");
    for (device, size, phone) in [("phone", (390, 844), true), ("desktop", (1440, 900), false)] {
        browser.show_as(size, phone, "light");
        scene.picture(&format!("login-{device}-light"));
        scene.fits("login");
    }
    browser.fill(".login input[type=password]", "a guess");
    browser.click(".login [type=submit]");
    browser.says(".login [role=alert]", "password is wrong");
    scene.picture("login-wrong-desktop-light");
    browser.fill(".login input[type=password]", PASSWORD);
    browser.click(".login [type=submit]");
    browser.element("main[data-view=overview][data-loaded]");
    browser.says(".state", "Live");
    // The login is a cookie that scripts cannot see; it outlasts a reload.
    assert_eq!(browser.run("return document.cookie", &[]), "");
    browser.open(&format!("{}/#/overview", scene.origin));
    browser.run("location.reload()", &[]);
    browser.element("main[data-view=overview][data-loaded]");
}

fn check_boxes(scene: &Scene) {
    let browser = &scene.browser;
    scene.visit("events");
    let checked = |wanted: bool| {
        wait_for("the check box", || {
            let now = browser.run("return document.querySelector('#event-user-activity').checked", &[]);
            (now == wanted).then_some(())
        });
    };
    assert!(scene.captured("user-activity"));
    checked(true);
    browser.click("#event-user-activity");
    browser.says("#messages", "Not captured any more: User Activity Events");
    checked(false);
    assert!(!scene.captured("user-activity"));
    browser.says("[data-event=user-activity]", "not captured");
    // By the label, as well.
    browser.click("label[for=event-user-activity]");
    checked(true);
    assert!(scene.captured("user-activity"));
}

/// Creates the client and downloads its file.
fn create_client(scene: &Scene) -> PathBuf {
    let browser = &scene.browser;
    scene.visit("clients");
    browser.says("main", "No client yet");
    browser.click("#create-client");
    // A name nobody knows is told, with the possibility to insist.
    browser.fill("dialog [name=host]", "nowhere.invalid");
    browser.click("dialog [type=submit]");
    browser.says("dialog [role=alert]", "nowhere.invalid");
    browser.says("dialog", "Create it although");
    scene.picture("create-unresolved-desktop-light");
    browser.fill("dialog [name=host]", CLIENT);
    browser.fill("dialog [name=password]", FILE_PASSWORD);
    browser.click("dialog [type=submit]");
    browser.says("dialog", "may connect now");
    scene.picture("created-desktop-light");
    browser.click("#download-new");
    let file = scene.site.path(&format!("downloads/{CLIENT}.pkcs12"));
    // Chromium gives a download its name when it is complete.
    wait_for("the download", || file.exists().then_some(()));
    browser.click("dialog .buttons button");
    browser.gone("dialog");
    browser.element(&format!("[data-client='{CLIENT}']"));
    // The icon in the row gives the same file.
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    browser.click(&format!("[data-client='{CLIENT}'] .download"));
    wait_for("the second download", || file.exists().then_some(()));
    assert_eq!(fs::read(&file).unwrap(), bytes);
    assert!(pki::Bundle::load_pkcs12(&file, Some("another")).is_err(), "the password is needed");
    file
}

/// The session is in the list, and its numbers move.
fn see_session(scene: &Scene) {
    let browser = &scene.browser;
    scene.visit("sessions");
    let session = format!("[data-client='{CLIENT}'][data-session]");
    browser.says(&session, "streaming");
    browser.says(&session, "from the beginning of the archive");
    browser.says(&session, "Metadata");
    let records = || count(&browser.text(&format!("{session} .records")));
    let mut seen = 0;
    for step in 0..3 {
        wait_for(&format!("more records, step {step}"), || (records() > seen).then_some(()));
        seen = records();
    }
    wait_for("the position", || (browser.text(&format!("{session} .second")) != "–").then_some(()));
    browser.says("#nav-sessions", "1");
    scene.visit("clients");
    browser.says(&format!("[data-client='{CLIENT}'] td.w-s"), "1");
}

/// A session is ended without deleting its client.
fn end_session(scene: &Scene, client: &mut Process) {
    let browser = &scene.browser;
    scene.visit("sessions");
    browser.click(&format!("[data-client='{CLIENT}'] .end"));
    browser.says("dialog", "The client is not deleted");
    browser.click("dialog .danger");
    browser.gone("dialog");
    wait_for("the end of the client's process", || (!client.running()).then_some(()));
    browser.says("main", "Nobody is connected");
}

/// The simulator is there as a sensor, can be paused, and what it brought is in the chart. A name is never markup.
fn see_sensors(scene: &Scene) {
    let (browser, home) = (&scene.browser, scene.site.home());
    let (name, lines) = ("<img src=x onerror=alert(1)>", scene.site.path("eve.json"));
    fs::write(&lines, "").unwrap();
    let eve = ["sensor", "eve", "--home", &home, "--device", "9", "--name", name, "--once", lines.to_str().unwrap()];
    scene.site.run(&eve).success();
    scene.visit("sensors");
    browser.says("main", name);
    browser.says("main", "stopped");
    browser.gone("main img");

    let row = "[data-sensor]:has(.badge.good)";
    browser.says(row, "simulator");
    let id = browser.run("return document.querySelector(arguments[0]).dataset.sensor", &[row.into()]);
    let row = format!("[data-sensor='{}']", id.as_str().unwrap());
    browser.click(&format!("{row} .pause"));
    browser.says(&format!("{row} .badge"), "paused");
    browser.click(&format!("{row} .pause"));
    browser.says(&format!("{row} .badge"), "running");

    // The other one ended, so it can be taken off the list.
    browser.click("[data-sensor] .delete:not([hidden])");
    browser.says("dialog", "It is taken off this list.");
    browser.click("dialog .danger");
    browser.gone("dialog");
    wait_for("the list without it", || (!browser.text("main").contains("onerror")).then_some(()));

    scene.visit("overview");
    let rate = || browser.text(".tile .value").replace(',', "").parse::<f64>().unwrap_or(0.0);
    wait_for("a rate of events", || (rate() > 0.0).then_some(()));
    assert_eq!(browser.text(".chart-none"), "");
}

/// The network map has the hosts of the simulated enterprise; one is looked up.
fn see_hosts(scene: &Scene) {
    let browser = &scene.browser;
    scene.visit("hosts");
    browser.says("main .pages", " host");
    let address = browser.text("[data-host] .link");
    browser.fill("#host-search", &address);
    browser.says("main .pages", " host");
    browser.click(&format!("[data-host='{address}'] .link"));
    browser.says("dialog", "First seen");
    browser.click("dialog .buttons button");
    browser.gone("dialog");
    browser.fill("#host-search", "nobody has such a name");
    browser.says("main", "No host matches");
}

fn pause_and_resume(scene: &Scene) {
    let browser = &scene.browser;
    scene.visit("settings");
    browser.fill("[name=reason]", "a test of the page");
    browser.click("#pause");
    browser.says("#banner-paused", "a test of the page");
    scene.picture("paused-desktop-light");
    browser.says(".state", "Paused");
    browser.says("main", "All sensors hold.");
    scene.visit("sessions");
    browser.says("main .badge", "paused");
    browser.click("#resume");
    browser.gone("#banner-paused");
    browser.says(".state", "Live");
    browser.says("main .badge", "streaming");
}

/// The client gets a new certificate; the one in use stays good.
fn renew(scene: &Scene) {
    let browser = &scene.browser;
    scene.visit("clients");
    browser.click(&format!("[data-client='{CLIENT}'] .renew"));
    browser.says("dialog", "nothing is interrupted");
    browser.click("dialog [type=submit]");
    browser.says("dialog", "has a new certificate");
    browser.click("dialog .buttons button");
    browser.gone("dialog");
    browser.says(&format!("[data-client='{CLIENT}']"), "the new file is not used yet");
}

fn change_password(scene: &Scene) {
    let browser = &scene.browser;
    let change = |old: &str, new: &str, again: &str| {
        for (name, text) in [("old", old), ("new", new), ("again", again)] {
            browser.fill(&format!("main [name={name}]"), text);
        }
        browser.click("#change-password");
    };
    scene.visit("settings");
    change(PASSWORD, NEW_PASSWORD, "a slip");
    browser.says("main [role=alert]", "The two new passwords differ.");
    change("a guess", NEW_PASSWORD, NEW_PASSWORD);
    browser.says("main [role=alert]", "The password is wrong.");
    change(PASSWORD, NEW_PASSWORD, NEW_PASSWORD);
    browser.says("#messages", "The password has been changed.");
    browser.says(".state", "Live");
}

/// Deletes the client: its session ends, and it is gone from both lists.
fn delete_client(scene: &Scene, client: &mut Process) {
    let browser = &scene.browser;
    assert!(client.running(), "{}", client.log());
    scene.visit("clients");
    browser.click(&format!("[data-client='{CLIENT}'] .delete"));
    browser.says("dialog", "Its open session ends at once.");
    scene.picture("delete-desktop-light");
    browser.click("dialog .danger");
    browser.gone("dialog");
    wait_for("the end of the client's process", || (!client.running()).then_some(()));
    browser.gone(&format!("[data-client='{CLIENT}']"));
    browser.says("main", "No client yet");
    scene.visit("sessions");
    browser.says("main", "Nobody is connected");
    browser.gone("[data-session]");
}

fn log_out(scene: &Scene) {
    let browser = &scene.browser;
    browser.click("#log-out");
    browser.says(".login", "You have logged out.");
    let status = "return fetch('/api/v1/session').then(async a => a.status === 401 || (await a.json()).csrf === null)";
    assert_eq!(browser.run(status, &[]), true);
}

/// A server that is gone is told; when it is back the page goes on by itself, with a new login.
fn lose_the_server(scene: &mut Scene) {
    let browser = &scene.browser;
    browser.fill(".login input[type=password]", NEW_PASSWORD);
    browser.click(".login [type=submit]");
    browser.says(".state", "Live");
    let port = scene.server.address.port();
    scene.server.process.kill();
    browser.says("#banner-offline", "does not answer");
    browser.says(".state", "No connection");
    scene.picture("offline-desktop-light");
    let admin = scene.origin.trim_start_matches("https://").to_owned();
    scene.server = scene.site.serve_at(port, &["--admin", &admin]);
    scene.browser.says(".login", "Your login has ended.");
}

/// Who guesses has to wait.
fn guess(scene: &Scene) {
    let browser = &scene.browser;
    wait_for("an end of guessing", || {
        browser.fill(".login input[type=password]", "a guess");
        browser.click(".login [type=submit]");
        browser.element(".login [type=submit]:not([aria-busy])");
        browser.text(".login [role=alert]").contains("oo many").then_some(())
    });
    browser.fill(".login input[type=password]", NEW_PASSWORD);
    browser.click(".login [type=submit]");
    browser.says(".login [role=alert]", "oo many");
}
