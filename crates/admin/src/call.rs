//! A request, as the functions of the API see it.

use crate::answer::Problem;
use crate::logins::Login;
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// Nobody known.
    Stranger(IpAddr),
    /// An administrator with a browser.
    Login(Login),
    /// A script with a token of this name.
    Token(String, IpAddr),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Stranger(address) => write!(f, "somebody at {address}"),
            Who::Login(login) => write!(f, "the administrator at {}", login.address),
            Who::Token(name, address) => write!(f, "token {name} at {address}"),
        }
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) peer: IpAddr,
    /// What stands for the `{...}` of the route, decoded.
    pub(crate) parameters: Vec<String>,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

impl Call {
    /// The first parameter of the path.
    pub(crate) fn parameter(&self) -> &str {
        self.parameters.first().map_or("", String::as_str)
    }

    /// The first parameter as a number; what is none names nothing.
    pub(crate) fn number<T: std::str::FromStr>(&self, what: &str) -> Result<T, Problem> {
        let text = self.parameter();
        text.parse().map_err(|_| Problem::new(StatusCode::NOT_FOUND, format!("there is no {what} {text}")))
    }

    /// The body.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let wrong = |error: serde_json::Error| {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("the body of the request is not understood: {error}"),
            )
            .code("body")
        };
        serde_json::from_slice(&self.body).map_err(wrong)
    }

    /// A value of the query.
    pub(crate) fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        form_urlencoded::parse(self.query.as_bytes()).find(|(k, _)| k == key).map(|(_, value)| value)
    }

    /// A number of the query between two others.
    pub(crate) fn query_number(&self, key: &str, default: u64, least: u64, most: u64) -> Result<u64, Problem> {
        let Some(text) = self.query(key) else { return Ok(default) };
        let number = text.parse().ok().filter(|n| (least..=most).contains(n));
        number.ok_or_else(|| {
            let error = format!("{key} must be a number from {least} to {most}");
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error).code("query")
        })
    }
}
