//! What there is to ask for.

use crate::answer::{Answer, Problem};
use crate::api::{archive, clients, domains, events, hosts, login, logs, overview, rates, sensors, sessions};
use crate::app::App;
use crate::call::Call;
use hyper::Method;

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Open,
    /// Who is logged in or has a token.
    Known,
}

type Function = fn(&App, &Call) -> Result<Answer, Problem>;

/// A method, a path, and what answers.
pub(crate) struct Route {
    method: Method,
    /// Below `/api/v1`; a part in braces stands for anything.
    path: &'static str,
    pub(crate) access: Access,
    pub(crate) answer: Function,
}

const fn route(method: Method, path: &'static str, answer: Function) -> Route {
    Route { method, path, access: Access::Known, answer }
}

const fn open(method: Method, path: &'static str, answer: Function) -> Route {
    Route { method, path, access: Access::Open, answer }
}

const ROUTES: &[Route] = &[
    open(Method::POST, "/session", login::log_in),
    open(Method::GET, "/session", login::show),
    route(Method::DELETE, "/session", login::log_out),
    route(Method::PUT, "/password", login::change_password),
    route(Method::GET, "/overview", overview::show),
    route(Method::PUT, "/pause", overview::pause),
    route(Method::DELETE, "/pause", overview::resume),
    route(Method::GET, "/events", events::list),
    route(Method::PUT, "/events/{key}", events::set),
    route(Method::GET, "/domains", domains::list),
    route(Method::POST, "/domains", domains::add),
    route(Method::GET, "/clients", clients::list),
    route(Method::POST, "/clients", clients::add),
    route(Method::GET, "/clients/{name}/pkcs12", clients::download),
    route(Method::POST, "/clients/{name}/renew", clients::renew),
    route(Method::DELETE, "/clients/{name}", clients::remove),
    route(Method::GET, "/sessions", sessions::list),
    route(Method::DELETE, "/sessions/{number}", sessions::end),
    route(Method::GET, "/sensors", sensors::list),
    route(Method::PUT, "/sensors/{id}", sensors::set),
    route(Method::DELETE, "/sensors/{id}", sensors::forget),
    route(Method::GET, "/rates", rates::show),
    route(Method::GET, "/archive", archive::show),
    route(Method::GET, "/log", logs::show),
    route(Method::GET, "/hosts", hosts::list),
    open(Method::GET, "/openapi.yaml", overview::openapi),
];

const PREFIX: &str = "/api/v1";

/// All methods and paths of the API, a parameter as `{name}`.
pub fn routes() -> impl Iterator<Item = (&'static str, String)> {
    ROUTES.iter().map(|r| {
        let method = match r.method {
            Method::POST => "POST",
            Method::PUT => "PUT",
            Method::DELETE => "DELETE",
            _ => "GET",
        };
        (method, format!("{PREFIX}{}", r.path))
    })
}

/// What a path leads to.
pub(crate) enum Found {
    Route(&'static Route, Vec<String>),
    /// Nothing by this method, but by these.
    Methods(String),
    Nothing,
}

pub(crate) fn find(method: &Method, path: &str) -> Found {
    let Some(path) = path.strip_prefix(PREFIX) else { return Found::Nothing };
    let wanted = if method == Method::HEAD { &Method::GET } else { method };
    let mut others: Vec<&str> = Vec::new();
    for route in ROUTES {
        let Some(parameters) = parameters(route.path, path) else { continue };
        if route.method == *wanted {
            return Found::Route(route, parameters);
        }
        others.push(route.method.as_str());
        if route.method == Method::GET {
            others.push("HEAD");
        }
    }
    if others.is_empty() { Found::Nothing } else { Found::Methods(others.join(", ")) }
}

/// What stands for the parts in braces, decoded, if a path is of this form.
fn parameters(form: &str, path: &str) -> Option<Vec<String>> {
    let (mut form, mut path) = (form.split('/'), path.split('/'));
    let mut found = Vec::new();
    loop {
        match (form.next(), path.next()) {
            (None, None) => return Some(found),
            (Some(form), Some(part)) if form.starts_with('{') && !part.is_empty() => {
                found.push(percent_encoding::percent_decode_str(part).decode_utf8().ok()?.into_owned());
            }
            (Some(form), Some(part)) if form == part => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_should() {
        let at = |method: Method, path: &str| match find(&method, path) {
            Found::Route(route, parameters) => format!("{} {} {}", route.method, route.path, parameters.join(",")),
            Found::Methods(methods) => format!("405 {methods}"),
            Found::Nothing => "404".into(),
        };
        assert_eq!(at(Method::GET, "/api/v1/clients"), "GET /clients ");
        assert_eq!(at(Method::HEAD, "/api/v1/clients"), "GET /clients ");
        assert_eq!(at(Method::GET, "/api/v1/clients/2001:db8::1/pkcs12"), "GET /clients/{name}/pkcs12 2001:db8::1");
        assert_eq!(at(Method::DELETE, "/api/v1/clients/a%2Fb%20c"), "DELETE /clients/{name} a/b c");
        assert_eq!(at(Method::PATCH, "/api/v1/clients"), "405 GET, HEAD, POST");
        for path in ["/api/v1/clients/", "/api/v1/clients//pkcs12", "/api/v1", "/api/v2/clients", "/api/v1/clients/%ff"]
        {
            assert_eq!(at(Method::DELETE, path), "404", "{path}");
        }
    }
}
