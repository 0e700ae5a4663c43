//! A connection from accept to its first message: TLS and the name rule.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use pki::{ClientList, Failure, NameCheck, Standing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::domains::Domain;
use crate::log::{Speaker, say};
use crate::server::Shared;
use crate::session;
use crate::settings::Settings;
use crate::table::{Entry, Full, Stop};

/// How long the look-up of a client's name may take.
const LOOK_UP: Duration = Duration::from_secs(10);

/// How long a client has to close after we did.
const LINGER: Duration = Duration::from_secs(1);

/// Wait status of an appliance's child whose client hung up after its request: exit code 20 (Cisco TAC article 215631).
const HUNG_UP: u32 = 20 << 8;

/// Serves a connection to its end.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    mut entry: Entry,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
) {
    let mut stop = entry.stop.clone();
    let admitted = tokio::select! {
        biased;
        // At shutdown, a connection that has not come far is just dropped.
        why = stopped(&mut stop) => {
            if why == Stop::Crowded {
                let limit = settings.max_handshakes;
                let parent = Speaker::parent();
                say!(
                    warn,
                    parent,
                    "ConnectionHandler",
                    "Closed {peer}, which has not finished its handshake: others wait for theirs (max_handshakes = {limit})"
                );
            }
            None
        }
        admitted = admit(stream, peer, &entry, &settings, &shared) => admitted,
    };
    if let Some((stream, speaker, domain)) = admitted {
        session::run(stream, speaker, &entry, settings, &shared, &domain).await;
        entry.status = if entry.stop.borrow().is_some() { 0 } else { HUNG_UP };
    } else {
        entry.status = 0;
    }
}

/// Waits until the connection is told to end.
pub(crate) async fn stopped(stop: &mut tokio::sync::watch::Receiver<Option<Stop>>) -> Stop {
    match stop.wait_for(Option::is_some).await {
        Ok(stop) => stop.unwrap_or(Stop::Shutdown),
        Err(_) => Stop::Shutdown,
    }
}

/// TLS handshake and name rule; `None` when the client may not stay.
async fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    entry: &Entry,
    settings: &Settings,
    shared: &Shared,
) -> Option<(TlsStream<TcpStream>, Speaker, Arc<Domain>)> {
    let speaker = Speaker::child(entry.number, peer);
    let peer = peer.ip();
    let stream = handshake(stream, &speaker, settings, shared).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|c| c.first()).cloned();
    let Some(certificate) = certificate else {
        say!(error, speaker, "ConnectionHandler", "The client sent no certificate");
        return None;
    };
    let fingerprint = pki::fingerprint(&certificate);
    let name = match pki::certificate_name(&certificate) {
        Ok(name) => name,
        Err(error) => {
            say!(error, speaker, "ConnectionHandler", "The client's certificate has no name: {error}");
            refuse(stream).await;
            return None;
        }
    };
    let speaker = speaker.named(&name);
    entry.progress.identify(&name, &fingerprint);
    // From here on a removal ends this connection; before, it may have gone unnoticed.
    if shared.clients.standing(&fingerprint) != Standing::Listed {
        say!(info, speaker, "ConnectionHandler", "The client {name} was removed just now");
        refuse(stream).await;
        return None;
    }
    if !shared.host_check(settings) {
        say!(info, speaker, "ConnectionHandler", "Host check is off: Certificate CN:{name} is not compared to {peer}");
    } else if !check(&name, peer, &speaker, shared).await {
        refuse(stream).await;
        return None;
    }
    if let Err(full) = entry.enter(settings) {
        say!(warn, speaker, "ConnectionHandler", "Refused: {}", full.because(peer));
        turn_away(stream, full).await;
        return None;
    }
    match shared.clients.first_use(&fingerprint) {
        Ok(true) => say!(
            info,
            speaker,
            "ConnectionHandler",
            "The client {name} uses its renewed certificate: the one before is revoked from now on"
        ),
        Ok(false) => {}
        Err(error) => say!(error, speaker, "ConnectionHandler", "The former certificate of {name} stays good: {error}"),
    }
    match shared.domain_of(&fingerprint) {
        Ok(domain) => {
            entry.progress.bind(domain.netmap);
            say!(debug, speaker, "ConnectionHandler", "The client gets the domain with netmap id {}", domain.netmap);
            Some((stream, speaker, domain))
        }
        Err(error) => {
            say!(error, speaker, "ConnectionHandler", "The domain of the client cannot be opened: {error}");
            refuse(stream).await;
            None
        }
    }
}

/// Tells a client that there is no room.
async fn turn_away(mut stream: TlsStream<TcpStream>, full: Full) {
    let mut message = Vec::new();
    wire::message::push_error(&mut message, session::CODE, &full.sentence());
    if matches!(timeout(LINGER, stream.write_all(&message)).await, Ok(Ok(()))) {
        close(&mut stream, LINGER).await;
    }
}

async fn handshake(
    stream: TcpStream,
    speaker: &Speaker,
    settings: &Settings,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    let accept = TlsAcceptor::from(shared.tls()).accept(stream).into_fallible();
    let (error, stream) = match timeout(settings.handshake(), accept).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err((error, stream))) => (error, Some(stream)),
        Err(_) => (io::Error::from(io::ErrorKind::TimedOut), None),
    };
    let why = pki::explain_accept_io(&error);
    let code = match why.failure {
        Failure::Vanished | Failure::TimedOut => "SSL_ERROR_SYSCALL",
        _ => "SSL_ERROR_SSL",
    };
    say!(error, speaker, "ConnectionHandler", "SSL_accept failed, SSL_get_error reports {code}");
    say!(error, speaker, "ConnectionHandler", "{why}");
    if let Some(mut stream) = stream {
        // The alert that tells the client why must not be lost to a reset.
        close(&mut stream, LINGER).await;
    }
    None
}

/// Applies the name rule and logs it as an appliance does.
async fn check(name: &str, peer: IpAddr, speaker: &Speaker, shared: &Shared) -> bool {
    let resolver = shared.resolver.clone();
    let literal = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    let check = if literal {
        pki::check_name(name, peer, &*resolver)
    } else {
        let owned = name.to_owned();
        let look_up = tokio::task::spawn_blocking(move || pki::check_name(&owned, peer, &*resolver));
        let unresolvable =
            |reason: &str| NameCheck::Unresolvable { name: name.to_owned(), peer, reason: reason.into() };
        match timeout(LOOK_UP, look_up).await {
            Ok(Ok(check)) => check,
            Ok(Err(_)) => unresolvable("the resolver failed"),
            Err(_) => unresolvable("the resolver gave no answer within 10 seconds"),
        }
    };
    let (looked_up, addresses) = match &check {
        NameCheck::Matched { looked_up, addresses, .. } | NameCheck::Mismatch { looked_up, addresses, .. } => {
            (*looked_up, addresses.as_slice())
        }
        NameCheck::Unresolvable { .. } => (false, &[][..]),
    };
    if looked_up {
        for address in addresses {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            say!(info, speaker, "SFUtil", "Found {family} address {address} for {name}");
        }
    }
    if !addresses.is_empty() {
        let all: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
        say!(info, speaker, "ConnectionHandler", "Resolved CN {name} to {}", all.join(", "));
    }
    if check.is_match() {
        say!(info, speaker, "ConnectionHandler", "{check}");
    } else {
        say!(error, speaker, "ConnectionHandler", "{check}");
    }
    check.is_match()
}

/// Closes without a message (eStreamer Integration Guide 5.3.1 p.2-6).
async fn refuse(mut stream: TlsStream<TcpStream>) {
    close(&mut stream, LINGER).await;
}

/// Closes our direction, then takes in what the client still sends until it closes too, for `linger` and a megabyte at
/// most: if there were unread bytes when the socket is closed, the client's system would get a reset and throw away
/// what the client has not read yet.
pub(crate) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, linger: Duration) {
    let drain = async {
        stream.shutdown().await?;
        let mut sink = [0; 4096];
        for _ in 0..256 {
            if stream.read(&mut sink).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whatever goes wrong here, the connection is over.
    let _ = timeout(linger, drain).await;
}
