//! What is common to receivers over HTTP: requests, credentials, and what answers mean.

use super::{Failure, Secret, SetupError, tls};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

/// Bytes of an answer that are read.
const ANSWER: u64 = 16 << 20;

/// Characters of an answer that are repeated in an error.
const WORDS: usize = 300;

/// How to make requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `http://HOST[:PORT][/PATH]` or `https://...`, without user and password.
    pub url: String,
    /// For `https`.
    pub tls: tls::Settings,
    /// What the receiver knows us by.
    pub credentials: Credentials,
    /// Further headers of each request. The values are not printed.
    pub headers: Vec<(String, Secret)>,
    /// Compress what is sent.
    pub gzip: bool,
    /// `http://[USER:PASSWORD@]HOST:PORT` of a proxy, which has to allow CONNECT to the receiver. Variables of the
    /// environment are not looked at.
    pub proxy: Option<Secret>,
    /// Time for a connection.
    pub connect_timeout: Duration,
    /// Time for a request and its answer, connection included.
    pub timeout: Duration,
}

/// What the receiver knows us by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// User and password.
    Basic {
        /// User.
        user: String,
        /// Password.
        password: Secret,
    },
    /// `Authorization: Bearer TOKEN`.
    Bearer(Secret),
    /// `Authorization: ApiKey KEY`, for Elasticsearch; the key in its encoded form.
    ApiKey(Secret),
    /// `Authorization: Splunk TOKEN`.
    Splunk(Secret),
}

impl Settings {
    /// Requests to this URL: no credentials, uncompressed, 10 s to connect, 60 s for all.
    pub fn new(url: impl Into<String>) -> Settings {
        Settings {
            url: url.into(),
            tls: tls::Settings::default(),
            credentials: Credentials::None,
            headers: Vec::new(),
            gzip: false,
            proxy: None,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
        }
    }
}

/// Makes requests.
pub(super) struct Client {
    settings: Settings,
    headers: Vec<(HeaderName, HeaderValue)>,
    proxy: Option<Proxy>,
    https: bool,
    /// Made for the first request, and anew after an error.
    agent: Option<Agent>,
    connected: bool,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The receiver asks for this pause.
    pub(super) after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn new(settings: Settings) -> Result<Client, SetupError> {
        let https = check_url(&settings.url)?;
        if https {
            settings.tls.config()?;
        }
        let proxy = settings.proxy.as_ref().map(|url| Proxy::new(url.expose())).transpose();
        let form = "it must be http://HOST:PORT, with USER:PASSWORD@ before the host if need be";
        let proxy = proxy.map_err(|_| SetupError::setting("the proxy", "(not shown)", form))?;
        let mut headers = Vec::new();
        for (name, value) in &settings.headers {
            headers.push((header_name(name)?, header_value(name, value.expose())?));
        }
        if let Some(value) = authorization(&settings.credentials) {
            headers.push((header_name("authorization")?, header_value("authorization", value.expose())?));
        }
        Ok(Client { settings, headers, proxy, https, agent: None, connected: false })
    }

    /// The URL with a path behind it, and nothing secret in it.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.url.trim_end_matches('/'))
    }

    pub(super) fn connected(&self) -> bool {
        self.connected
    }

    pub(super) fn reset(&mut self) {
        self.agent = None;
    }

    /// Sends a request and reads the answer, whatever its status.
    pub(super) fn post(
        &mut self,
        url: &str,
        kind: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Failure> {
        self.connected = false;
        let agent = match &self.agent {
            Some(agent) => agent.clone(),
            None => self.agent.insert(self.agent().map_err(|e| Failure::again(e.to_string()))?).clone(),
        };
        let mut request = agent.post(url).header("content-type", kind);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match self.settings.gzip {
            false => request.send(body),
            true => request.header("content-encoding", "gzip").send(compress(body).as_slice()),
        };
        let answer = answer.and_then(|mut answer| {
            let body = answer.body_mut().with_config().limit(ANSWER).read_to_vec()?;
            Ok((answer, body))
        });
        let (answer, body) = answer.map_err(|error| failure(&url_without_query(url), &error))?;
        self.connected = true;
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        Ok(Answer { status: answer.status().as_u16(), after, body })
    }

    fn agent(&self) -> Result<Agent, SetupError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(self.proxy.clone())
            .user_agent(concat!("estreamer/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.settings.connect_timeout))
            .timeout_global(Some(self.settings.timeout));
        if self.https {
            let material = self.settings.tls.material()?;
            let roots: Vec<_> = material.authorities.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            let client = match (material.client, &self.settings.tls.client) {
                (Some((chain, _)), Some(files)) => {
                    let chain: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
                    Some(ClientCert::new_with_certs(&chain, private_key(&files.key)?))
                }
                _ => None,
            };
            let tls = TlsConfig::builder()
                .root_certs(RootCerts::Specific(Arc::new(roots)))
                .client_cert(client)
                .unversioned_rustls_crypto_provider(tls::provider());
            config = config.tls_config(tls.build());
        }
        Ok(config.build().new_agent())
    }
}

impl Answer {
    /// What an answer other than success means for the batch.
    pub(super) fn failure(&self, url: &str) -> Failure {
        let reason = format!("{url} answers {}{}", self.status, self.words());
        match self.status {
            400 | 413 | 422 => Failure::Refused { line: None, reason },
            _ => {
                let remedy = match self.status {
                    300..=399 => "; redirects are not followed, set the URL it points to",
                    401 => "; check the token, or user and password",
                    403 => "; check what the token or user may do",
                    404 | 405 => "; check the path of the URL",
                    407 => "; check user and password of the proxy",
                    429 => "; the receiver is overloaded",
                    _ => "; look at the log of the receiver",
                };
                Failure::Again { reason: format!("{reason}{remedy}"), after: self.after }
            }
        }
    }

    /// The beginning of the body, as far as it can be printed, behind a colon.
    pub(super) fn words(&self) -> String {
        words(&String::from_utf8_lossy(self.body.get(..4 * WORDS).unwrap_or(&self.body)))
    }
}

/// The beginning of a text behind a colon, on one line; empty for an empty text.
pub(super) fn words(text: &str) -> String {
    let text: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS).collect();
    if text.is_empty() { text } else { format!(": {text}") }
}

/// A URL that may stand in messages: queries may have secrets.
pub(super) fn url_without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// The value at a place of a JSON object: a name of the object, or a pointer as in `/a/b` (RFC 6901).
pub(super) fn find<'a>(object: &'a serde_json::Value, place: &str) -> Option<&'a serde_json::Value> {
    if place.starts_with('/') { object.pointer(place) } else { object.get(place) }
}

/// Whether it is `https`.
fn check_url(url: &str) -> Result<bool, SetupError> {
    let shown = if url.contains(['@', '?']) { "(not shown)" } else { url };
    let wrong = |problem: &str| Err(SetupError::setting("the URL", shown, problem));
    let Ok(parsed) = url.parse::<Uri>() else { return wrong("write http://HOST:PORT/PATH, or https") };
    if parsed.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return wrong("user and password belong into settings of their own");
    }
    let port = parsed.authority().zip(parsed.host()).and_then(|(all, host)| all.as_str().strip_prefix(host));
    if port.is_some_and(|port| !port.is_empty()) && parsed.port_u16().is_none_or(|port| port == 0) {
        return wrong("the port must be a number from 1 to 65535");
    }
    if parsed.query().is_some() || parsed.host().is_none_or(str::is_empty) {
        return wrong("it must have a host, and no question mark");
    }
    match parsed.scheme_str() {
        Some("https") => Ok(true),
        Some("http") => Ok(false),
        _ => wrong("it must begin with http:// or https://"),
    }
}

fn authorization(credentials: &Credentials) -> Option<Secret> {
    use base64::Engine;
    let text = match credentials {
        Credentials::None => return None,
        Credentials::Basic { user, password } => {
            let both = Secret::new(format!("{user}:{}", password.expose()));
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both.expose()))
        }
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
        Credentials::ApiKey(key) => format!("ApiKey {}", key.expose()),
        Credentials::Splunk(token) => format!("Splunk {}", token.expose()),
    };
    Some(Secret::new(text))
}

fn header_name(name: &str) -> Result<HeaderName, SetupError> {
    let problem = "it must have letters, digits and hyphens";
    name.parse().map_err(|_| SetupError::setting("the name of a header", name, problem))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, SetupError> {
    let problem = "its value must have printable characters only";
    let mut value = HeaderValue::from_str(value).map_err(|_| SetupError::setting("the header", name, problem))?;
    value.set_sensitive(true);
    Ok(value)
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, SetupError> {
    let what = "the key of the client certificate";
    let text = std::fs::read(path).map_err(|source| SetupError::File { what, path: path.to_owned(), source })?;
    PrivateKey::from_pem(&Zeroizing::new(text)).map_err(|error| SetupError::Content {
        what,
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn failure(url: &str, error: &ureq::Error) -> Failure {
    let remedy = match error {
        ureq::Error::Rustls(error) => tls::remedy(error),
        ureq::Error::Io(error) => match (tls::inside(error), error.kind()) {
            (Some(error), _) => tls::remedy(error),
            (None, io::ErrorKind::ConnectionRefused) => "start the receiver, or check the port and firewalls",
            // A server that refuses a certificate may be gone before its alert is read.
            _ if url.starts_with("https") => {
                "look at the log of the server; it may not accept the client certificate, or want one"
            }
            _ => "look at the log of the receiver, or of the proxy",
        },
        ureq::Error::HostNotFound => "check the name",
        ureq::Error::Timeout(_) => "check the address and firewalls, and whether the receiver is overloaded",
        ureq::Error::BodyExceedsLimit(_) => "this is no answer of a receiver of events; check the URL",
        _ => "check the URL, and the proxy if there is one",
    };
    Failure::again(format!("cannot post to {url}: {error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, https) in [("http://h", false), ("https://h:8088/a/b", true), ("http://[::1]:9200", false)] {
            assert_eq!(check_url(url).ok(), Some(https), "{url}");
        }
        for url in ["", "h", "ftp://h", "http://", "http://u:geheim@h", "http://h/?geheim=1", "http://h:x", "/p"] {
            let error = check_url(url).unwrap_err().to_string();
            assert!(!error.contains("geheim"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut settings = Settings::new("https://h");
        settings.credentials = Credentials::Basic { user: "u".to_owned(), password: Secret::new("geheim") };
        settings.headers.push(("x-key".to_owned(), Secret::new("geheim")));
        settings.proxy = Some(Secret::new("http://u:geheim@p:3128"));
        assert!(!format!("{settings:?}").contains("geheim"));
        settings.headers.push(("x-key".to_owned(), Secret::new("geheim\n")));
        let error = Client::new(Settings { url: "http://h".to_owned(), ..settings }).err().unwrap();
        assert_eq!(error.to_string(), "the header cannot be \"x-key\": its value must have printable characters only");
    }

    #[test]
    fn answers() {
        let answer = |status, body: &str| Answer { status, after: None, body: body.as_bytes().to_vec() };
        let refused = answer(400, " bad\nline ").failure("http://h");
        let reason = "http://h answers 400: bad line".to_owned();
        assert_eq!(refused, Failure::Refused { line: None, reason });
        for (status, words) in [(302, "redirects"), (401, "token"), (404, "path"), (429, "overloaded"), (500, "log")] {
            let Failure::Again { reason, .. } = answer(status, "").failure("http://h") else { panic!("{status}") };
            assert!(reason.contains(words), "{reason}");
        }
        assert!(answer(500, &"ä".repeat(5000)).words().len() <= 2 * WORDS + 2);
    }
}
