//! Connections: TLS, HTTP, and bounds for what each may cost.

use crate::answer::{Answer, Problem};
use crate::app::{App, Asked, Presence, log, log_error};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections at the same time; more wait until one ends.
const CONNECTIONS: usize = 128;

/// Connections at the same time from one address; more are closed.
const OF_ADDRESS: usize = 32;

/// Requests that are worked on at the same time; more wait.
const REQUESTS: usize = 8;

/// Passwords that are hashed at the same time, each in 19 MiB; more wait.
const PASSWORDS: usize = 2;

/// The most bytes of a request's body.
const MAX_BODY: usize = 64 << 10;

/// So much of a body that is too large is read and thrown away.
const HEARD: usize = 1 << 20;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, the wait for the next one on a connection included.
const HEAD: Duration = Duration::from_secs(15);

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(10);

/// How long a connection may last before it is asked to end, and how long it may take for that: so one that takes no
/// answers does not stay.
const AGE: Duration = Duration::from_secs(600);
const LAST: Duration = Duration::from_secs(30);

/// How often it is looked whether there is a password now.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is tried again to listen.
const RETRY: Duration = Duration::from_secs(10);

/// Waits for a password and for the port, then serves for ever.
pub(crate) async fn run(app: Arc<App>) {
    if !app.password.is_set() {
        let home = app.home.dir().display();
        let why = format!("it has no password. To switch it on: estreamer admin password --home {home}");
        log(format_args!("The administration page is off, because {why}"));
        app.is_now(Presence::Off(why));
        while !app.password.is_set() {
            sleep(LOOK).await;
        }
    }
    let mut said = None;
    let listeners = loop {
        match bind(&app).await {
            Ok(listeners) => break listeners,
            Err(error) => {
                app.is_now(Presence::Off(format!("{error}. It is tried again every {} seconds", RETRY.as_secs())));
                if said.as_ref() != Some(&error) {
                    log_error(&format_args!(
                        "The administration page is not there: {error}. Trying again every {} seconds",
                        RETRY.as_secs()
                    ));
                    said = Some(error);
                }
                sleep(RETRY).await;
            }
        }
    };
    let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
    for address in &addresses {
        log(format_args!("Administration page on https://{address}/"));
    }
    app.is_now(Presence::Listening(addresses));
    let bounds = Arc::new(Bounds::default());
    let mut accepting = tokio::task::JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(app.clone(), bounds.clone(), listener));
    }
    while accepting.join_next().await.is_some() {}
}

/// Listens on all addresses wanted; a loopback address that this system does not have is left out.
async fn bind(app: &App) -> Result<Vec<TcpListener>, String> {
    let wanted = app.wanted().map_err(|error| error.to_string())?;
    if wanted.is_empty() {
        let why = "admin_listen in settings.toml is empty";
        log(format_args!("The administration page is off: {why}"));
        app.is_now(Presence::Off(why.into()));
        std::future::pending::<()>().await;
    }
    let mut listeners = Vec::new();
    let mut missing = None;
    for address in wanted {
        match TcpListener::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error)
                if address.ip().is_loopback() && error.kind() != io::ErrorKind::AddrInUse && address.is_ipv6() =>
            {
                missing = Some(format!("cannot listen on {address}: {error}"));
            }
            Err(error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "Another program has this port: stop it, or change \"admin_listen\" in settings.toml"
                    }
                    _ => "Check \"admin_listen\" in settings.toml",
                };
                return Err(format!("cannot listen on {address}: {error}. {remedy}"));
            }
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// What all connections share of what there is.
#[derive(Debug)]
struct Bounds {
    connections: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    passwords: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Bounds {
    fn default() -> Bounds {
        let semaphore = |n| Arc::new(Semaphore::new(n));
        Bounds {
            connections: semaphore(CONNECTIONS),
            requests: semaphore(REQUESTS),
            passwords: semaphore(PASSWORDS),
            addresses: Mutex::default(),
        }
    }
}

/// A place of an address, given back when it is dropped.
struct Place(Arc<Bounds>, IpAddr);

impl Place {
    fn take(bounds: &Arc<Bounds>, address: IpAddr) -> Option<Place> {
        let mut addresses = bounds.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let count = addresses.entry(address).or_default();
        if *count >= OF_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place(bounds.clone(), address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut addresses = self.0.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = addresses.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&self.1);
            }
        }
    }
}

async fn accept(app: Arc<App>, bounds: Arc<Bounds>, listener: TcpListener) {
    loop {
        let Ok(room) = bounds.connections.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) => {
                tracing::debug!("a connection was not accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = Place::take(&bounds, peer) else {
            tracing::debug!("there are {OF_ADDRESS} connections from {peer} already");
            continue;
        };
        let (app, bounds) = (app.clone(), bounds.clone());
        tokio::spawn(async move {
            let _places = (room, place);
            connection(app, bounds, stream, peer).await;
        });
    }
}

async fn connection(app: Arc<App>, bounds: Arc<Bounds>, stream: TcpStream, peer: IpAddr) {
    let _ = stream.set_nodelay(true);
    let stream = match timeout(HANDSHAKE, TlsAcceptor::from(app.tls()).accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("a TLS handshake with {peer} failed: {error}"),
        Err(_) => return tracing::debug!("a TLS handshake with {peer} took too long"),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (app, bounds) = (app.clone(), bounds.clone());
        async move { Ok::<_, Infallible>(respond(app, &bounds, peer, request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(64).max_buf_size(32 << 10);
    let mut served = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = match timeout(AGE, served.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            served.as_mut().graceful_shutdown();
            timeout(LAST, served).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection with {peer} ended: {error}");
    }
}

async fn respond(app: Arc<App>, bounds: &Bounds, peer: IpAddr, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let head = request.method() == Method::HEAD;
    let answer = match ask(request, peer).await {
        Ok(asked) => work(app, bounds, asked).await,
        Err(problem) => problem.answer(),
    };
    answer.response(head)
}

/// The whole request.
async fn ask(request: Request<Incoming>, peer: IpAddr) -> Result<Asked, Problem> {
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY, read(body)).await {
        Ok(read) => read?,
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long")),
    };
    Ok(Asked {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        peer,
    })
}

/// The body of a request, if it is not too large.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Problem> {
    let claimed = body.size_hint().lower();
    let mut bytes = Vec::new();
    let mut seen = 0;
    // Who is cut off while sending may not see the answer: a little more is heard, and not kept.
    while claimed <= HEARD as u64
        && seen <= HEARD
        && let Some(frame) = body.frame().await
    {
        let broken = |error| Problem::new(StatusCode::BAD_REQUEST, format!("the request broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        seen += data.len();
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&data);
        }
    }
    if seen.max(usize::try_from(claimed).unwrap_or(usize::MAX)) > MAX_BODY {
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {MAX_BODY} bytes")));
    }
    Ok(bytes)
}

/// Has a thread answer, when it is this request's turn.
async fn work(app: Arc<App>, bounds: &Bounds, asked: Asked) -> Answer {
    let turns = if asked.is_costly() { &bounds.passwords } else { &bounds.requests };
    let turn = turns.clone().acquire_owned().await;
    let answered = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        app.answer(asked)
    });
    match answered.await {
        Ok(answer) => answer,
        Err(_) => Problem::internal("a request ended by a defect of this program").answer(),
    }
}
