//! rsyslog as a receiver: what it makes of our messages. Skipped where it is not installed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Tests may fail loudly.

mod support;

use outputs::transport::Endpoint;
use outputs::transport::datagram::{self, Datagram};
use outputs::transport::stream::{self, Stream};
use outputs::transport::syslog::{Format, Framing, Message, Syslog};
use outputs::{Remote, Transport};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Caller, all_sent, line, ms, remote, wait};
use tempfile::TempDir;

struct Rsyslog {
    process: Child,
    folder: TempDir,
    tcp: u16,
    udp: u16,
}

impl Rsyslog {
    fn start() -> Option<Rsyslog> {
        let program = ["/usr/sbin/rsyslogd", "/sbin/rsyslogd"].into_iter().find(|path| Path::new(path).exists())?;
        let folder = TempDir::new().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = folder.path().display();
        let text = format!(
            r#"global(workDirectory="{home}" maxMessageSize="64k")
module(load="imtcp")
module(load="imudp")
input(type="imtcp" port="{tcp}" address="127.0.0.1" ruleset="all")
input(type="imudp" port="{udp}" address="127.0.0.1" ruleset="all")
template(name="all" type="string" string="%inputname% %pri% %protocol-version% %hostname% %app-name% %procid% %msgid%|%msg%\n")
ruleset(name="all") {{ action(type="omfile" file="{home}/out" template="all" ioBufferSize="1" flushOnTXEnd="on") }}
"#
        );
        fs::write(folder.path().join("conf"), text).unwrap();
        let mut command = Command::new(program);
        command.arg("-n").arg("-f").arg(folder.path().join("conf")).arg("-i").arg(folder.path().join("pid"));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Rsyslog { process, folder, tcp, udp })
    }

    fn output(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("out")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send(transport: impl Transport + 'static, count: usize) {
    let folder = TempDir::new().unwrap();
    let mut caller: Caller<Remote> = Caller::new(remote(folder.path(), transport, None));
    caller.write(count);
    assert_eq!(all_sent(&caller.to.metrics()).sent, count as u64);
    caller.to.stop(Duration::from_secs(2));
}

#[test]
fn rsyslog_understands_every_form() {
    let Some(rsyslog) = Rsyslog::start() else {
        println!("skipped: rsyslogd is not installed");
        return;
    };
    let syslog = |format| {
        let (facility, severity) = ("local3".parse().unwrap(), "warning".parse().unwrap());
        let (host, process) = ("collector".to_owned(), "4711".to_owned());
        Syslog { facility, severity, host, process, ..Syslog::new(format) }
    };
    let at = |port: u16| format!("127.0.0.1:{port}").parse::<Endpoint>().unwrap();
    let mut expected = Vec::new();
    for (format, version, blank) in [(Format::Rfc5424, 1, ""), (Format::Rfc3164, 0, " ")] {
        let message = Message::Syslog(syslog(format));
        for framing in [Framing::OctetCounting, Framing::LineFeed] {
            let settings = stream::Settings::new(at(rsyslog.tcp), message.clone());
            send(Stream::new(stream::Settings { framing, doubt: ms(100), ..settings }).unwrap(), 50);
            expected
                .extend((0..50).map(|n| format!("imtcp 156 {version} collector estreamer 4711 -|{blank}{}", line(n))));
        }
        let settings = datagram::Settings { doubt: ms(100), message, ..datagram::Settings::new(at(rsyslog.udp)) };
        send(Datagram::new(settings).unwrap(), 20);
        expected.extend((0..20).map(|n| format!("imudp 156 {version} collector estreamer 4711 -|{blank}{}", line(n))));
    }
    wait("receiving everything", || rsyslog.output().len() >= expected.len());
    let (mut got, mut expected) = (rsyslog.output(), expected);
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}
