//! Answers `/metrics` and `/healthz` by HTTP.

use crate::stats::Status;
use crate::telemetry;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 32;

/// How long a connection may last: whoever asks wants a page, not a conversation.
const PATIENCE: Duration = Duration::from_secs(30);

/// A port that is listened on.
pub(crate) struct Web {
    listener: std::net::TcpListener,
}

impl Web {
    /// Listens on an address.
    pub(crate) fn bind(address: SocketAddr) -> std::io::Result<Web> {
        // tokio's sets the options by which a restart gets the port again at once.
        let runtime = runtime()?;
        let listener = runtime.block_on(async { TcpListener::bind(address).await?.into_std() })?;
        tracing::info!("Metrics are at http://{}/metrics", listener.local_addr()?);
        Ok(Web { listener })
    }

    /// Answers until it is told to stop.
    pub(crate) fn run(self, status: &Arc<Status>, stop: &AtomicBool) {
        let serve = || -> std::io::Result<()> {
            runtime()?.block_on(async {
                let listener = TcpListener::from_std(self.listener)?;
                tokio::select! {
                    () = accept(&listener, status) => {}
                    () = stopped(stop) => {}
                }
                Ok(())
            })
        };
        if let Err(error) = serve() {
            tracing::error!("metrics cannot be served: {error}. Events are collected all the same");
        }
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn accept(listener: &TcpListener, status: &Arc<Status>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection for metrics was not accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let status = status.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request: Request<Incoming>| {
                let answer = answer(&status, request.method(), request.uri().path());
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let connection = http.serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(PATIENCE, connection).await;
        });
    }
}

fn answer(status: &Status, method: &Method, path: &str) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let page = |code, kind, text: String| {
        let mut response = Response::new(Full::new(Bytes::from(text)));
        *response.status_mut() = code;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is answered\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", telemetry::metrics(status)),
        "/healthz" => {
            let (healthy, report) = telemetry::health(status);
            let code = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            page(code, "application/json", format!("{report}\n"))
        }
        _ => page(StatusCode::NOT_FOUND, TEXT, "there are /metrics and /healthz\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{State, Stats};
    use std::io::{Read, Write};

    #[test]
    fn pages_are_answered_and_nothing_else() {
        let status = Arc::new(Status::new(vec![Arc::new(Stats::new("fmc"))], Vec::new()));
        let stop = AtomicBool::new(false);
        let web = Web::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = web.listener.local_addr().unwrap();
        let ask = |request: &str| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(format!("{request}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        std::thread::scope(|scope| {
            scope.spawn(|| web.run(&status, &stop));
            let metrics = ask("GET /metrics HTTP/1.1");
            assert!(
                metrics.starts_with("HTTP/1.1 200") && metrics.contains("\nestreamer_source_received_total{"),
                "{metrics}"
            );
            assert!(ask("GET /healthz HTTP/1.1").starts_with("HTTP/1.1 503"));
            status.enter(&State::Running);
            let health = ask("GET /healthz HTTP/1.1");
            assert!(health.starts_with("HTTP/1.1 200") && health.contains("\"healthy\":true"), "{health}");
            assert!(ask("GET / HTTP/1.1").starts_with("HTTP/1.1 404"));
            assert!(ask("POST /metrics HTTP/1.1").starts_with("HTTP/1.1 405"));
            assert!(ask("nonsense").starts_with("HTTP/1.1 400"));
            stop.store(true, Ordering::Relaxed);
        });
    }
}
