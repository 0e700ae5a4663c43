//! `POST /records`: lines of JSON over HTTP, with bearer tokens.

use crate::error::LineError;
use crate::lines::Lines;
use crate::publisher::PublishError;
use crate::sources::{Group, Sources};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use pki::Tokens;
use rustls::ServerConfig;
use sensors::feed::FeedError;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 256;

/// Requests at the same time; more are told to come again.
const REQUESTS: usize = 16;

/// The most bytes of a request.
pub const MAX_BODY: usize = 8 << 20;

/// The most lines of a request.
pub const MAX_LINES: usize = 10_000;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, the wait for the next one on a connection included.
const HEAD: Duration = Duration::from_secs(30);

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(30);

/// What answers requests.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) sources: Arc<Sources>,
    pub(crate) tokens: Tokens,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

type Answer = Response<Full<Bytes>>;

/// Answers requests for ever.
pub(crate) async fn serve(http: Arc<Http>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let requests = Arc::new(Semaphore::new(REQUESTS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (http, requests) = (http.clone(), requests.clone());
        tokio::spawn(async move {
            let _place = place;
            let Some(tls) = http.tls.clone() else { return connection(http, requests, stream).await };
            match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
                Ok(Ok(stream)) => connection(http, requests, stream).await,
                Ok(Err(error)) => tracing::debug!("a TLS handshake failed: {error}"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}

async fn connection(http: Arc<Http>, requests: Arc<Semaphore>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (http, requests) = (http.clone(), requests.clone());
        async move { Ok::<_, Infallible>(answer(&http, &requests, request).await) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!("a connection ended: {error}");
    }
}

async fn answer(http: &Http, requests: &Semaphore, request: Request<Incoming>) -> Answer {
    if request.uri().path() != "/records" {
        return refuse(StatusCode::NOT_FOUND, "there is /records only");
    }
    if request.method() != Method::POST {
        let answer = refuse(StatusCode::METHOD_NOT_ALLOWED, "records are taken by POST");
        return with(answer, ALLOW, HeaderValue::from_static("POST"));
    }
    let name = match authorized(http, &request) {
        Ok(Some(name)) => name,
        Ok(None) => {
            let answer = refuse(
                StatusCode::UNAUTHORIZED,
                "a token is needed, as \"Authorization: Bearer TOKEN\"; estreamer tokens add makes one",
            );
            return with(answer, WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Err(error) => {
            tracing::error!("tokens cannot be read, so nobody is let in: {error}");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the tokens of this service cannot be read");
        }
    };
    let Ok(_place) = requests.try_acquire() else {
        return later("too many requests at a time");
    };
    let group = match tokio::time::timeout(BODY, read(request.into_body())).await {
        Ok(Ok(group)) => group,
        Ok(Err((code, text))) => return refuse(code, &text),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    };
    let (sources, source) = (http.sources.clone(), format!("http.{name}"));
    match tokio::task::spawn_blocking(move || sources.publish(&source, group, false)).await {
        Ok(Ok(report)) => {
            let nothing = report.rejected > 0 && report.accepted + report.known + report.discarded == 0;
            let code = if nothing { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
            page(code, serde_json::to_string(&report).unwrap_or_default())
        }
        Ok(Err(PublishError::Feed(FeedError::Held(why)))) => {
            later(&format!("nothing of this request was published: {why}; send it again later"))
        }
        Ok(Err(error)) => {
            tracing::error!(token = name, "records were not taken: {error}");
            later(&format!("nothing of this request was published: {error}"))
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "nothing of this request was answered for"),
    }
}

/// Whose token a request shows.
fn authorized(http: &Http, request: &Request<Incoming>) -> Result<Option<String>, pki::TokenError> {
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token =
        header.and_then(|header| header.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
    token.map_or(Ok(None), |(_, token)| http.tokens.find(token.trim()))
}

/// The lines of a request, or why they are not taken.
async fn read(mut body: Incoming) -> Result<Group, (StatusCode, String)> {
    let large = || {
        let text = format!("a request has at most {MAX_BODY} bytes and {MAX_LINES} lines: send several");
        (StatusCode::PAYLOAD_TOO_LARGE, text)
    };
    let mut lines = Lines::new();
    let mut group = Group::new();
    let mut bytes = 0;
    let mut full = body.size_hint().lower() > MAX_BODY as u64;
    while let Some(frame) = body.frame().await {
        let broken = |error| (StatusCode::BAD_REQUEST, format!("the request broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        bytes += data.len();
        full |= bytes > MAX_BODY;
        // Who is cut off while sending may not see the answer: a little more is heard, and not kept.
        if bytes > 2 * MAX_BODY {
            break;
        }
        if !full {
            full = lines.push(&data, |number, line| keep(&mut group, number, line)).is_err();
        }
    }
    if full || lines.finish(|number, line| keep(&mut group, number, line)).is_err() {
        return Err(large());
    }
    Ok(group)
}

/// Too many lines.
struct TooMany;

fn keep(group: &mut Group, number: u64, line: Result<&[u8], LineError>) -> Result<(), TooMany> {
    if !matches!(line, Ok([])) {
        group.push((number, line.map(<[u8]>::to_vec)));
    }
    if group.len() > MAX_LINES { Err(TooMany) } else { Ok(()) }
}

fn page(code: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refuse(code: StatusCode, text: &str) -> Answer {
    page(code, serde_json::json!({ "error": text }).to_string())
}

fn later(text: &str) -> Answer {
    with(refuse(StatusCode::SERVICE_UNAVAILABLE, text), RETRY_AFTER, HeaderValue::from_static("1"))
}

fn with(mut answer: Answer, name: HeaderName, value: HeaderValue) -> Answer {
    answer.headers_mut().insert(name, value);
    answer
}
