//! The administration of one service: what it needs, and the way of a request through it.

use crate::answer::{Answer, Problem};
use crate::call::{Call, Who};
use crate::limits::Attempts;
use crate::logins::Logins;
use crate::password::Password;
use crate::rates::Rates;
use crate::routes::{self, Access, Found};
use crate::{assets, listen, origin};
use control::Control;
use hyper::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, WWW_AUTHENTICATE};
use hyper::{Method, StatusCode};
use pki::{Resolver, SystemResolver};
use rustls::ServerConfig;
use server::{Clients, Handle, Home};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the cookie.
pub(crate) const COOKIE_NAME: &str = "estreamer_session";

/// The header that each change needs besides the cookie.
const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");

/// Gives Unix seconds.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock that shows what a function says.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub(crate) fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    /// The system's.
    fn default() -> Clock {
        let unix = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
        Clock::new(move || i64::try_from(unix()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What a program may set besides the settings file.
#[derive(Default)]
pub struct Options {
    /// Addresses to listen on, instead of those of the settings; port 0 takes any free one.
    pub listen: Option<Vec<SocketAddr>>,
    /// What looks the names of new clients up; the system's resolver if there is none.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// The time that logins last by.
    pub clock: Clock,
}

/// Whether the page is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It listens on these addresses.
    Listening(Vec<SocketAddr>),
    /// It does not, for this reason, in words that go after "off: ".
    Off(String),
}

/// Why there can be no administration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] server::Error),
    /// What an administrator sets cannot be read.
    #[error(transparent)]
    Control(#[from] control::Error),
}

/// The administration of a service.
#[derive(Clone)]
pub struct Admin(Arc<App>);

/// What all requests share.
pub(crate) struct App {
    pub(crate) home: Home,
    pub(crate) handle: Handle,
    pub(crate) clients: Clients,
    pub(crate) control: Control,
    pub(crate) password: Password,
    pub(crate) logins: Logins,
    pub(crate) attempts: Attempts,
    pub(crate) rates: Rates,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) clock: Clock,
    pub(crate) started: i64,
    pub(crate) hostname: String,
    tokens: pki::Tokens,
    listen: Option<Vec<SocketAddr>>,
    tls: RwLock<Tls>,
    presence: RwLock<Presence>,
}

/// The server's certificate, and the names it is for.
struct Tls {
    config: Arc<ServerConfig>,
    names: Vec<String>,
    /// Which time the service had read it.
    read: u64,
}

impl Admin {
    /// The administration of the service `handle` of a home.
    ///
    /// # Errors
    /// [`Error`] when certificate, clients or settings of the home cannot be used.
    pub fn new(home: Home, handle: Handle, options: Options) -> Result<Admin, Error> {
        let clock = options.clock;
        let app = App {
            clients: home.clients()?,
            control: Control::open(&home.control_path())?,
            password: Password::of(&home),
            logins: Logins::default(),
            attempts: Attempts::default(),
            rates: Rates::default(),
            resolver: options.resolver.unwrap_or_else(|| Arc::new(SystemResolver)),
            started: clock.now(),
            clock,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            tokens: crate::tokens(&home),
            listen: options.listen,
            tls: RwLock::new(read_tls(&home, handle.certificates_read())?),
            presence: RwLock::new(Presence::Off("it is starting".into())),
            handle,
            home,
        };
        Ok(Admin(Arc::new(app)))
    }

    /// Answers until `shutdown` is ready. As long as there is no password, or the addresses cannot be listened on, it
    /// waits, having said so in the log.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = listen::run(self.0) => {}
        }
    }

    /// The addresses it listens on; none while it waits.
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        match self.presence() {
            Presence::Listening(addresses) => addresses,
            Presence::Off(_) => Vec::new(),
        }
    }

    /// Where it is, or why it is not there.
    pub fn presence(&self) -> Presence {
        self.0.presence.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read_tls(home: &Home, read: u64) -> server::Result<Tls> {
    let identity = home.server_identity()?;
    let names = identity.chain.first().map(|leaf| pki::certificate_hosts(leaf)).transpose()?.unwrap_or_default();
    Ok(Tls { config: pki::web_config(identity)?, names, read })
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: IpAddr,
}

impl Asked {
    /// Whether it hashes a password, which takes time and memory.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(
            (&self.method, self.path.as_str()),
            (&Method::POST, "/api/v1/session") | (&Method::PUT, "/api/v1/password")
        )
    }
}

impl App {
    /// TLS with the certificate that the service uses: when that has read it again, so does this.
    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        let read = self.handle.certificates_read();
        let present = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        if present.read == read {
            return present.config.clone();
        }
        drop(present);
        let mut present = self.tls.write().unwrap_or_else(PoisonError::into_inner);
        match read_tls(&self.home, read) {
            Ok(tls) => *present = tls,
            Err(error) => {
                log_error(&format_args!("The server's certificate cannot be read: {error}. The old one is used"));
                present.read = read;
            }
        }
        present.config.clone()
    }

    /// The addresses wanted.
    pub(crate) fn wanted(&self) -> server::Result<Vec<SocketAddr>> {
        match &self.listen {
            Some(addresses) => Ok(addresses.clone()),
            None => Ok(self.home.settings()?.admin_listen),
        }
    }

    /// Remembers where the page is, or why it is not there.
    pub(crate) fn is_now(&self, presence: Presence) {
        *self.presence.write().unwrap_or_else(PoisonError::into_inner) = presence;
    }

    /// Answers a request. Blocks.
    pub(crate) fn answer(&self, asked: Asked) -> Answer {
        if !asked.path.starts_with("/api/") {
            return match asked.method {
                Method::GET | Method::HEAD => assets::find(&asked.path, &asked.headers),
                _ => not_allowed("GET, HEAD"),
            };
        }
        self.api(asked).unwrap_or_else(Problem::answer)
    }

    fn api(&self, asked: Asked) -> Result<Answer, Problem> {
        let (route, parameters) = match routes::find(&asked.method, &asked.path) {
            Found::Route(route, parameters) => (route, parameters),
            Found::Methods(allowed) => return Ok(not_allowed(&allowed)),
            Found::Nothing => {
                let nothing = Problem::new(StatusCode::NOT_FOUND, format!("there is no {}", asked.path));
                return Err(nothing.remedy("see /api/v1/openapi.yaml"));
            }
        };
        let change = !matches!(asked.method, Method::GET | Method::HEAD);
        if change && let Some(why) = origin::refuse(&asked.headers, &self.names()) {
            let remedy = "use the address of this machine or a name of the server's certificate, and its own page";
            return Err(Problem::new(StatusCode::FORBIDDEN, why).remedy(remedy).code("origin"));
        }
        let who = self.who(&asked)?;
        if route.access == Access::Known && matches!(who, Who::Stranger(_)) {
            return Ok(unauthorized());
        }
        if let Who::Login(login) = &who
            && change
            && route.access == Access::Known
        {
            let shown = asked.headers.get(CSRF).map_or(&b""[..], |h| h.as_bytes());
            // Hashes are compared, so the time it takes tells nothing.
            if pki::token::hash(&String::from_utf8_lossy(shown)) != pki::token::hash(&login.csrf) {
                let error = "the header X-CSRF-Token is missing or wrong";
                return Err(Problem::new(StatusCode::FORBIDDEN, error).remedy("log in again").code("csrf"));
            }
        }
        let kind = asked.headers.get(CONTENT_TYPE).and_then(|h| h.to_str().ok()).unwrap_or_default();
        let json = kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"));
        if change && !asked.body.is_empty() && !json {
            let error = "the body of a request must be application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
        }
        let call = Call { who, peer: asked.peer, parameters, query: asked.query, body: asked.body };
        (route.answer)(self, &call)
    }

    /// Who asks: by a token, else by a cookie.
    fn who(&self, asked: &Asked) -> Result<Who, Problem> {
        if let Some(header) = asked.headers.get(AUTHORIZATION) {
            let header = header.to_str().unwrap_or_default();
            let token = header.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            let name =
                token.map_or(Ok(None), |(_, token)| self.tokens.find(token.trim())).map_err(Problem::internal)?;
            return Ok(name.map_or(Who::Stranger(asked.peer), |name| Who::Token(name, asked.peer)));
        }
        let cookies = asked.headers.get_all(COOKIE).iter().filter_map(|h| h.to_str().ok()).flat_map(|h| h.split(';'));
        let pairs = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        let Some(generation) = self.password.generation().map_err(Problem::internal)? else {
            return Ok(Who::Stranger(asked.peer));
        };
        let mut secrets = pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, secret)| secret);
        let login = secrets.find_map(|secret| self.logins.find(secret, &generation, self.clock.now()));
        Ok(login.map_or(Who::Stranger(asked.peer), Who::Login))
    }

    /// The names of this server.
    fn names(&self) -> Vec<String> {
        let mut names = self.tls.read().unwrap_or_else(PoisonError::into_inner).names.clone();
        names.extend(["localhost".to_owned(), self.hostname.clone()]);
        names
    }
}

fn not_allowed(allowed: &str) -> Answer {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed} is possible here"))
        .answer()
        .with(ALLOW, allowed)
}

/// Nobody known may not do this.
pub(crate) fn unauthorized() -> Answer {
    let remedy = "log in, or send \"Authorization: Bearer TOKEN\"; \"estreamer admin tokens add\" makes one";
    Problem::new(StatusCode::UNAUTHORIZED, "a login is needed").remedy(remedy).answer().with(WWW_AUTHENTICATE, "Bearer")
}

/// A line in the service's log about who changed what.
pub(crate) fn audit(who: &Who, what: impl fmt::Display) {
    tracing::info!(target: "estreamer", process = "Administration", component = "audit", "{who}: {what}");
}

/// A line in the service's log.
pub(crate) fn log(text: impl fmt::Display) {
    tracing::info!(target: "estreamer", process = "Administration", component = "admin", "{text}");
}

/// A line in the service's log about what does not work.
pub(crate) fn log_error(text: &impl fmt::Display) {
    tracing::error!(target: "estreamer", process = "Administration", component = "admin", "{text}");
}
