//! Whether a change is asked for by our own page.

use hyper::header::{HOST, HeaderMap, HeaderName, ORIGIN};
use std::net::IpAddr;

/// What browsers say about who makes a request (Fetch Metadata).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a change is refused, if it is: `names` are those of the server.
///
/// Browsers say in `Origin` where a request comes from; programs need not. `Host` must be an address or a name of this
/// server, so that a name of somebody else that leads here is no way in.
pub(crate) fn refuse(headers: &HeaderMap, names: &[String]) -> Option<String> {
    let Some(host) = headers.get(HOST).and_then(|h| h.to_str().ok()) else {
        return Some("the request names no host".to_owned());
    };
    let name = without_port(host);
    let plain = name.trim_matches(['[', ']']);
    let ours = plain.parse::<IpAddr>().is_ok() || names.iter().any(|n| n.eq_ignore_ascii_case(plain));
    if !ours {
        return Some(format!("{name:?} is no name of this server"));
    }
    if headers.get(SITE).is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Some("the request comes from another site".to_owned());
    }
    let origin = headers.get(ORIGIN)?;
    let same =
        origin.to_str().ok().and_then(|o| o.strip_prefix("https://")).is_some_and(|o| o.eq_ignore_ascii_case(host));
    (!same).then(|| "the request comes from another site".to_owned())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (name.ends_with(']') || !name.contains(':')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pairs: &[(&'static str, &str)]) -> bool {
        let headers = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
        refuse(&headers, &["localhost".into(), "fmc.example".into()]).is_some()
    }

    #[test]
    fn the_page_itself_and_programs_may() {
        for host in ["localhost", "LOCALHOST:8443", "127.0.0.1:8443", "[::1]:8443", "::1", "192.0.2.1", "fmc.example:1"]
        {
            assert!(!refused(&[("host", host)]), "{host}");
            assert!(!refused(&[("host", host), ("origin", &format!("https://{host}"))]), "{host}");
        }
        assert!(!refused(&[("host", "localhost"), ("sec-fetch-site", "same-origin")]));
    }

    #[test]
    fn others_may_not() {
        assert!(refused(&[]));
        for host in ["evil.example", "evil.example:8443", "localhost.evil.example", "", "127.0.0.1.evil.example"] {
            assert!(refused(&[("host", host)]), "{host}");
        }
        for origin in
            ["https://evil.example", "null", "http://localhost:8443", "https://localhost", "https://localhost:8444"]
        {
            assert!(refused(&[("host", "localhost:8443"), ("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(refused(&[("host", "localhost"), ("sec-fetch-site", site)]), "{site}");
        }
    }
}
