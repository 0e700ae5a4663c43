//! What is answered.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

/// Nothing from elsewhere, nothing inline, in no frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Bytes of a kind.
    pub(crate) fn bytes(kind: &'static str, body: impl Into<Bytes>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        Answer { status: StatusCode::OK, headers, body: body.into() }
    }

    /// A JSON value.
    pub(crate) fn json(value: &Value) -> Answer {
        Answer::bytes("application/json", value.to_string() + "\n")
    }

    /// A JSON value that was made.
    pub(crate) fn created(value: &Value) -> Answer {
        let mut answer = Answer::json(value);
        answer.status = StatusCode::CREATED;
        answer
    }

    /// Done, nothing to say.
    pub(crate) fn done() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// With another header; one that cannot be written is left out.
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// The response: with the headers all answers have, and for HEAD without the body.
    pub(crate) fn response(self, head: bool) -> Response<Full<Bytes>> {
        let length = self.body.len();
        let mut response = Response::new(Full::new(if head { Bytes::new() } else { self.body }));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-store"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.extend(self.headers);
        if head {
            headers.insert(hyper::header::CONTENT_LENGTH, length.into());
        }
        response
    }
}

/// Why something is not done.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    /// For programs that must tell cases apart.
    code: Option<&'static str>,
    error: String,
    remedy: Option<String>,
    retry_after: Option<i64>,
}

impl Problem {
    /// A problem in a sentence.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem { status, code: None, error: error.into(), remedy: None, retry_after: None }
    }

    /// With what to do about it.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Problem {
        self.remedy = Some(remedy.into());
        self
    }

    /// With a word for programs.
    pub(crate) fn code(mut self, code: &'static str) -> Problem {
        self.code = Some(code);
        self
    }

    /// With the seconds after which it may be tried again.
    pub(crate) fn retry_after(mut self, seconds: i64) -> Problem {
        self.retry_after = Some(seconds);
        self
    }

    /// Something here does not work; the log says it too.
    pub(crate) fn internal(error: impl std::fmt::Display) -> Problem {
        crate::app::log_error(&error);
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    pub(crate) fn answer(self) -> Answer {
        let mut body = json!({ "error": self.error });
        if let Some(remedy) = self.remedy {
            body["remedy"] = remedy.into();
        }
        if let Some(code) = self.code {
            body["code"] = code.into();
        }
        let mut answer = Answer::json(&body);
        answer.status = self.status;
        match self.retry_after {
            Some(seconds) => answer.with(hyper::header::RETRY_AFTER, &seconds.to_string()),
            None => answer,
        }
    }
}

impl From<server::Error> for Problem {
    fn from(error: server::Error) -> Problem {
        use server::Error as E;
        let (status, code) = match &error {
            E::ClientThere { .. } => (StatusCode::CONFLICT, Some("exists")),
            E::NoClient { .. } | E::NotKept { .. } => (StatusCode::NOT_FOUND, None),
            E::Unresolved { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Some("unresolved")),
            E::Pki(pki) => match pki.root() {
                pki::Error::BadName { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Some("name")),
                pki::Error::PasswordCharacters => (StatusCode::UNPROCESSABLE_ENTITY, Some("password")),
                _ => return Problem::internal(error),
            },
            _ => return Problem::internal(error),
        };
        Problem { code, ..Problem::new(status, error.to_string()) }
    }
}

impl From<control::Error> for Problem {
    fn from(error: control::Error) -> Problem {
        use control::Error as E;
        let status = match &error {
            E::DomainThere { .. } => StatusCode::CONFLICT,
            E::BadName { .. } | E::BadNetmap(_) => StatusCode::UNPROCESSABLE_ENTITY,
            E::NoSensor(_) => StatusCode::NOT_FOUND,
            _ => return Problem::internal(error),
        };
        Problem::new(status, error.to_string())
    }
}
