//! The whole command against receivers of others: rsyslog, netcat, and HTTP receivers in a process of their own that are
//! not always well. What is in the JSON file beside them is what they have, line by line.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs;

use serde_json::{Value, json};
use support::authority::Authority;
use support::programs::{self, Netcat, Rsyslog, Script, Tls};
use support::receivers::uid;
use support::{Collector, Process, Server, Site, configuration, wait_for, wait_for_all};

/// A collector with a file and one more output, while events come.
struct Flow {
    collector: Collector,
    process: Process,
    sensor: Process,
    events: usize,
    _server: Server,
}

impl Flow {
    fn start(site: &Site, events: usize, rate: usize, stream: &Value) -> Flow {
        let pkcs12 = site.client("127.0.0.1");
        let server = site.serve(&[]);
        let collector = site.collector("collector", server.address, &pkcs12);
        let mut config = configuration(server.address, &pkcs12);
        config["dialect"] = "standard".into();
        config["handler"]["eventUids"] = true.into();
        config["handler"]["filter"] = "class != metadata".into();
        let outputs = config["handler"]["outputters"].as_array_mut().unwrap();
        outputs.push(json!({"adapter": "json", "stream": stream}));
        collector.configure(config);
        let process = collector.start();
        let (home, total, rate) = (site.home(), events.to_string(), rate.to_string());
        let simulate = ["sensor", "simulate", "--home", &home, "--events", &total, "--rate", &rate];
        let sensor = site.start("sensor", &simulate);
        Flow { collector, process, sensor, events, _server: server }
    }

    /// The lines of the file, once all events are in it.
    fn lines(&mut self) -> Vec<Vec<u8>> {
        assert!(self.sensor.wait().success(), "{}", self.sensor.log());
        self.collector.wait_for_events(self.events, &self.process);
        let mut lines = Vec::new();
        self.collector.each_line(|line| lines.push(line.to_vec()));
        assert_eq!(lines.len(), self.events);
        let ids: HashMap<u128, usize> = lines.iter().enumerate().map(|(i, line)| (uid(line), i)).collect();
        assert_eq!(ids.len(), self.events, "each event has an id of its own");
        lines
    }

    /// What the receiver refused for good.
    fn rejected(&self) -> Vec<Vec<u8>> {
        let spools = fs::read_dir(self.collector.folder.join("spool")).unwrap();
        let texts = spools.filter_map(|spool| fs::read_to_string(spool.unwrap().path().join("rejected.jsonl")).ok());
        let entries = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        let line = |entry: String| serde_json::from_str::<Value>(&entry).unwrap()["line"].as_str().unwrap().into();
        entries.map(line).collect()
    }

    /// Ends the collector, which has nothing more to say.
    fn end(mut self) {
        assert!(self.process.terminate().success(), "{}", self.process.log());
        assert!(!self.process.log().contains("panicked"), "{}", self.process.log());
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// The two are equal; else the first difference is shown, and not megabytes.
fn assert_lines(name: &str, got: &[Vec<u8>], expected: &[Vec<u8>]) {
    let both = got.iter().zip(expected).enumerate();
    for (i, (got, expected)) in both {
        assert!(got == expected, "{name}: line {i} is\n{}\nand not\n{}", text(got), text(expected));
    }
    assert_eq!(got.len(), expected.len(), "{name}: lines");
}

/// How often each line is there, by ids. A line that is there again is the same.
fn by_id(lines: &[Vec<u8>]) -> BTreeMap<u128, (usize, &Vec<u8>)> {
    let mut all: BTreeMap<u128, (usize, &Vec<u8>)> = BTreeMap::new();
    for line in lines {
        let entry = all.entry(uid(line)).or_insert((0, line));
        assert!(entry.1 == line, "one id for\n{}\nand\n{}", text(entry.1), text(line));
        entry.0 += 1;
    }
    all
}

/// Without the lines that had come before.
fn first_times(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut seen = std::collections::HashSet::new();
    lines.iter().filter(|line| seen.insert(uid(line))).cloned().collect()
}

#[test]
fn netcat_tcp() {
    let site = Site::new();
    let Some(nc) = Netcat::start(&site.path(""), "tcp", &[]) else { return };
    let mut flow = Flow::start(&site, 3000, 1500, &json!({"uri": format!("tcp://127.0.0.1:{}", nc.port)}));
    let lines = flow.lines();
    let expected = lines.join(&b'\n').len() + 1;
    wait_for_all("bytes", expected, || nc.received().len());
    flow.end();
    let got: Vec<Vec<u8>> = nc.received().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let (last, got) = got.split_last().unwrap();
    assert!(last.is_empty(), "{}", text(last));
    assert_lines("nc", got, &lines);
}

/// What came of datagrams: every line, but those of which the kernel says that it had no room for them.
fn assert_datagrams(name: &str, got: &[Vec<u8>], expected: &[Vec<u8>], dropped: usize) {
    let mut rest = expected.iter();
    for line in got {
        assert!(rest.any(|other| other == line), "{name}: no line of the file, or out of order:\n{}", text(line));
    }
    println!("{name}: {} of {} datagrams, {dropped} dropped by the kernel", got.len(), expected.len());
    assert_eq!(got.len() + dropped, expected.len(), "{name}");
}

#[test]
fn netcat_udp() {
    let site = Site::new();
    let Some(nc) = Netcat::start(&site.path(""), "udp", &["-u"]) else { return };
    let stream = json!({"uri": format!("udp://127.0.0.1:{}", nc.port), "options": {"batchMilliseconds": 5}});
    let mut flow = Flow::start(&site, 600, 200, &stream);
    let lines = flow.lines();
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|b| *b == b'\n').map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect()
    };
    wait_for_all("datagrams", lines.len(), || split(&nc.received()).len() + programs::dropped(nc.port));
    flow.end();
    assert_datagrams("nc", &split(&nc.received()), &lines, programs::dropped(nc.port));
}

/// Messages that rsyslog has understood as ours: the lines.
fn messages(rsyslog: &Rsyslog, head: &str, blank: &str) -> Vec<Vec<u8>> {
    let line = |(got, line): (String, String)| {
        assert_eq!(got, head);
        line.strip_prefix(blank).unwrap().as_bytes().to_vec()
    };
    rsyslog.received().into_iter().map(line).collect()
}

fn rsyslog_over_tls(client: bool) {
    let site = Site::new();
    let authority = Authority::new(&site.path(""));
    let (certificate, key) = authority.issue("localhost");
    let name = "collector.example.com";
    let tls = Tls { authority: authority.file(), certificate, key, client: client.then(|| name.to_owned()) };
    let Some(rsyslog) = Rsyslog::start(&site.path("rsyslog"), Some(&tls)) else { return };
    let mut options = json!({"syslog": "5424", "facility": "local4", "severity": "notice", "host": "dc-1", "app": "fmc",
                             "caFile": authority.file()});
    if client {
        let (certificate, key) = authority.issue(name);
        (options["certFile"], options["keyFile"]) = (json!(certificate), json!(key));
    }
    let stream = json!({"uri": format!("tls://localhost:{}", rsyslog.port), "options": options});
    let mut flow = Flow::start(&site, 3000, 1500, &stream);
    let lines = flow.lines();
    wait_for_all("messages", lines.len(), || rsyslog.received().len());
    flow.end();
    // local4 (20) * 8 + notice (5), version 1.
    assert_lines("rsyslog", &messages(&rsyslog, "imtcp 165 1 dc-1 fmc", ""), &lines);
}

#[test]
fn rsyslog_over_tls_with_a_server_that_is_verified() {
    rsyslog_over_tls(false);
}

#[test]
fn rsyslog_over_tls_that_wants_a_client_certificate() {
    rsyslog_over_tls(true);
}

#[test]
fn rsyslog_that_does_not_know_the_client_gets_nothing_and_nothing_is_lost() {
    let site = Site::new();
    let (ours, other) = (site.path("ours"), site.path("other"));
    let [ours, other] = [ours, other].map(|folder| {
        fs::create_dir(&folder).unwrap();
        Authority::new(&folder)
    });
    let (certificate, key) = ours.issue("localhost");
    let name = "collector.example.com";
    let tls = Tls { authority: other.file(), certificate, key, client: Some(name.to_owned()) };
    let Some(rsyslog) = Rsyslog::start(&site.path("rsyslog"), Some(&tls)) else { return };
    let (certificate, key) = ours.issue(name);
    let options = json!({"syslog": "5424", "host": "dc-1", "app": "fmc", "caFile": ours.file(), "certFile": certificate,
                         "keyFile": key, "retryMaxMilliseconds": 2000});
    let stream = json!({"uri": format!("tls://localhost:{}", rsyslog.port), "options": options});
    let mut flow = Flow::start(&site, 500, 1000, &stream);
    let lines = flow.lines();
    flow.process.line("Nothing is lost: events wait in the spool");
    assert!(rsyslog.received().is_empty());
    // It learns who issued the certificate, and has everything.
    let port = rsyslog.port;
    drop(rsyslog);
    let tls = Tls { authority: ours.file(), ..tls };
    let rsyslog = Rsyslog::start_at(port, &site.path("rsyslog again"), Some(&tls)).unwrap();
    wait_for_all("messages", lines.len(), || rsyslog.received().len());
    flow.end();
    assert_lines("rsyslog", &messages(&rsyslog, "imtcp 134 1 dc-1 fmc", ""), &lines);
}

#[test]
fn rsyslog_rfc_3164_over_tcp() {
    let site = Site::new();
    let Some(rsyslog) = Rsyslog::start(&site.path("rsyslog"), None) else { return };
    let options = json!({"syslog": "3164", "host": "dc-1", "app": "fmc"});
    let stream = json!({"uri": format!("tcp://127.0.0.1:{}", rsyslog.port), "options": options});
    let mut flow = Flow::start(&site, 3000, 1500, &stream);
    let lines = flow.lines();
    wait_for_all("messages", lines.len(), || rsyslog.received().len());
    flow.end();
    assert_lines("rsyslog", &messages(&rsyslog, "imtcp 134 0 dc-1 fmc", " "), &lines);
}

#[test]
fn rsyslog_rfc_3164_over_udp() {
    let site = Site::new();
    let Some(rsyslog) = Rsyslog::start(&site.path("rsyslog"), None) else { return };
    let options = json!({"syslog": "3164", "host": "dc-1", "app": "fmc", "batchMilliseconds": 5});
    let stream = json!({"uri": format!("udp://127.0.0.1:{}", rsyslog.port), "options": options});
    let mut flow = Flow::start(&site, 600, 200, &stream);
    let lines = flow.lines();
    wait_for_all("messages", lines.len(), || rsyslog.received().len() + programs::dropped(rsyslog.port));
    flow.end();
    let dropped = programs::dropped(rsyslog.port);
    assert_datagrams("rsyslog", &messages(&rsyslog, "imudp 134 0 dc-1 fmc", " "), &lines, dropped);
}

#[test]
fn splunk_that_is_busy() {
    let site = Site::new();
    let Some(splunk) = Script::start(&site.path("splunk"), "hec") else { return };
    fs::write(site.path("token"), "11111111-2222-4333-8444-555555555555\n").unwrap();
    let token = format!("file:{}", site.path("token").display());
    let options = json!({"type": "hec", "token": token, "sourcetype": "cisco:estreamer:data", "gzip": false,
                         "batchLines": 100, "batchMilliseconds": 50, "retryMilliseconds": 20});
    let stream = json!({"uri": format!("http://127.0.0.1:{}", splunk.port), "options": options});
    let mut flow = Flow::start(&site, 2500, 1000, &stream);
    let lines = flow.lines();
    wait_for_all("events", lines.len(), || splunk.stored().len());
    assert!(flow.rejected().is_empty());
    flow.end();
    splunk.check();
    assert!(splunk.count("busy") > 2);
    for fault in ["unauthorized", "no event", "unknown path"] {
        assert_eq!(splunk.count(fault), 0, "{fault}");
    }
    // What it was busy for it did not have: each came once, in order.
    assert_lines("splunk", &splunk.stored(), &lines);
}

#[test]
fn splunk_that_forgets_what_it_has_not_acknowledged() {
    let site = Site::new();
    let Some(mut splunk) = Script::start(&site.path("splunk"), "hec-ack") else { return };
    let options = json!({"type": "hec", "token": "11111111-2222-4333-8444-555555555555", "acknowledge": true,
                         "channel": "12345678-9abc-4def-8123-456789abcdef", "batchLines": 100, "batchMilliseconds": 50, "retryMilliseconds": 20});
    let stream = json!({"uri": format!("http://127.0.0.1:{}", splunk.port), "options": options});
    let mut flow = Flow::start(&site, 4000, 700, &stream);
    for part in [500, 1500] {
        wait_for_all("events", part, || splunk.stored().len());
        splunk.hold(true);
        wait_for("events that are not acknowledged", || (splunk.count("taken") > splunk.stored().len()).then_some(()));
        splunk.restart();
        splunk.hold(false);
    }
    let lines = flow.lines();
    let expected: Vec<u128> = by_id(&lines).into_keys().collect();
    wait_for_all("events", expected.len(), || by_id(&splunk.stored()).len());
    assert!(by_id(&splunk.stored()).into_keys().eq(expected.iter().copied()));
    assert!(flow.rejected().is_empty());
    flow.end();
    splunk.check();
    let stored = splunk.stored();
    let (taken, repeats) = (splunk.count("taken"), stored.len() - lines.len());
    println!("splunk took {taken} events, forgot {}, and has {repeats} twice", taken - stored.len());
    assert!(taken > stored.len(), "the restarts lost nothing");
    for fault in ["unauthorized", "no event", "unknown path", "no channel"] {
        assert_eq!(splunk.count(fault), 0, "{fault}");
    }
}

#[test]
fn elasticsearch_that_is_overloaded_and_picky() {
    let site = Site::new();
    let Some(mut elastic) = Script::start(&site.path("elastic"), "elasticsearch") else { return };
    let options = json!({"type": "elasticsearch", "index": "fmc-%Y.%m.%d", "idField": "/@computed/eventUid",
                         "batchLines": 100, "batchMilliseconds": 50, "retryMilliseconds": 20});
    let stream = json!({"uri": format!("http://127.0.0.1:{}", elastic.port), "options": options});
    let mut flow = Flow::start(&site, 3000, 700, &stream);
    wait_for_all("documents", 800, || elastic.stored().len());
    elastic.restart();
    let lines = flow.lines();
    let refuses = |line: &&Vec<u8>| uid(line) % 16 == 7;
    let (refused, wanted): (Vec<_>, Vec<_>) = lines.iter().partition(refuses);
    wait_for_all("documents", wanted.len(), || elastic.stored().len());
    wait_for_all("refused lines", refused.len(), || flow.rejected().len());
    let rejected = flow.rejected();
    flow.end();
    elastic.check();
    for what in ["429", "put off", "409", "no answer"] {
        assert!(elastic.count(what) > 0, "{what} never happened");
    }
    assert_eq!(elastic.count("wrong id"), 0);
    let sorted = |lines: &[Vec<u8>]| {
        let mut lines = lines.to_vec();
        lines.sort_unstable();
        lines
    };
    let owned = |lines: &[&Vec<u8>]| lines.iter().map(|line| line.to_vec()).collect::<Vec<_>>();
    // Each document once, and each refused one once where it can be found.
    assert_lines("elasticsearch", &sorted(&elastic.stored()), &sorted(&owned(&wanted)));
    assert_lines("rejected", &sorted(&rejected), &sorted(&owned(&refused)));
}

#[test]
fn a_receiver_of_posts_that_hangs_up() {
    let site = Site::new();
    let Some(post) = Script::start(&site.path("post"), "ndjson") else { return };
    let options = json!({"type": "ndjson", "headers": {"X-Tenant": "north"}, "batchLines": 100, "batchMilliseconds": 50, "retryMilliseconds": 20});
    let stream = json!({"uri": format!("http://127.0.0.1:{}/in/here", post.port), "options": options});
    let mut flow = Flow::start(&site, 2500, 1000, &stream);
    let lines = flow.lines();
    wait_for_all("lines", lines.len(), || first_times(&post.stored()).len());
    assert!(flow.rejected().is_empty());
    flow.end();
    post.check();
    assert!(post.count("500") > 0 && post.count("no tenant") == 0);
    let (stored, silent) = (post.stored(), post.count("no answer"));
    assert_lines("post", &first_times(&stored), &lines);
    // Only what was never answered came again: a batch each time.
    by_id(&stored);
    assert!(silent > 0 && stored.len() <= lines.len() + silent * 100, "{} of {silent} answers", stored.len());
}
