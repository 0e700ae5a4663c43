//! Listening sockets and the options of connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::error::{Error, Result};
use crate::log::{Speaker, say};
use crate::settings::Settings;

/// Connections the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// Opens a listening socket for each address. An IPv6 address of all interfaces takes IPv4 connections too, unless the
/// list has one for them; where the system has no IPv6 it means IPv4 alone.
pub(crate) fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let only_v6 = addresses.iter().any(|a| a.is_ipv4() && a.port() == address.port());
        let all_v6 = address.is_ipv6() && address.ip().is_unspecified();
        let listener = match open(*address, only_v6) {
            Err(error) if all_v6 && !only_v6 && lacks_ipv6(&error) => {
                let instead = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
                let parent = Speaker::parent();
                say!(
                    warn,
                    parent,
                    "ConnectionHandler",
                    "This system has no IPv6 ({error}): listening on {instead} instead"
                );
                open(instead, false)
            }
            other => other,
        };
        listeners.push(listener.map_err(|source| failed(*address, source))?);
    }
    Ok(listeners)
}

/// How much longer than a client may take nothing its system may acknowledge nothing: a client that is there but does not
/// read is to be told apart from one that is gone.
const GONE: Duration = Duration::from_secs(5);

/// Sets the options of a new connection: small messages at once, and probes that find a dead peer in five minutes. What
/// was sent to one, a keep-alive at least, is given up after `stall`; the system alone would try for a quarter of an hour.
pub(crate) fn tune(stream: &TcpStream, stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let most = u32::try_from((stall + GONE).as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, most)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(120))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepcnt(stream, 6)?;
    Ok(())
}

/// Raises the limit of open files as far as the connections of the settings need and the system allows, and says so where
/// that is not enough.
pub(crate) fn allow_files(settings: &Settings) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // What else is open: archive segments, databases, logs, and what a thread needs for a moment.
    const OTHERS: u64 = 200;
    let wanted = u64::from(settings.max_connections) + u64::from(settings.max_handshakes) + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    // No limit at all is none.
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return };
    let possible = limit.maximum.map_or(wanted, |most| most.min(wanted)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    let open = if raised.is_ok() { possible } else { current };
    if open < wanted {
        let parent = Speaker::parent();
        say!(
            warn,
            parent,
            "ConnectionHandler",
            "This process may open {open} files; {wanted} are needed for as many connections as the settings allow. Raise the limit (ulimit -n, LimitNOFILE) or lower max_connections"
        );
    }
}

fn open(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, only_v6)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lacking = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| lacking.iter().any(|errno| errno.raw_os_error() == code))
}

fn failed(address: SocketAddr, source: io::Error) -> Error {
    let remedy = match source.kind() {
        io::ErrorKind::AddrInUse => {
            "Another program has this port, perhaps another server: stop it, or change \"listen\" in settings.toml"
        }
        io::ErrorKind::AddrNotAvailable => {
            "No interface of this machine has this address: correct \"listen\" in settings.toml"
        }
        io::ErrorKind::PermissionDenied => "This user may not use this port: take one above 1023",
        _ => "Check \"listen\" in settings.toml",
    };
    Error::Listen { address, source, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_and_a_foreign_address_are_explained() {
        let first = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = first[0].local_addr().unwrap();
        let error = listen(&[address]).unwrap_err().to_string();
        assert!(error.contains("Another program has this port"), "{error}");
        let error = listen(&["192.0.2.77:0".parse().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("No interface of this machine has this address"), "{error}");
    }

    #[tokio::test]
    async fn one_socket_serves_both_families_and_two_can_share_a_port() {
        let Ok(dual) = listen(&["[::]:0".parse().unwrap()]) else { return };
        let port = dual[0].local_addr().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        tune(&stream, Duration::from_secs(1)).unwrap();
        drop(dual);
        listen(&[SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), format!("[::]:{port}").parse().unwrap()]).unwrap();
    }
}
