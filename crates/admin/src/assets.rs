//! The page: files embedded in the program (a build for development reads them from `assets/` each time).

use crate::answer::{Answer, Problem};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderMap, IF_NONE_MATCH};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Assets;

/// The file of a path; `/` is `index.html`.
pub(crate) fn find(path: &str, headers: &HeaderMap) -> Answer {
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    // In builds for development these are real paths: a name that leads elsewhere is none.
    let plain =
        name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0', '%']));
    let Some(file) = plain.then(|| Assets::get(name)).flatten() else {
        return Problem::new(StatusCode::NOT_FOUND, "there is no such page").answer();
    };
    let hash = file.metadata.sha256_hash();
    let tag: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{tag}\"");
    let known = headers.get(IF_NONE_MATCH).and_then(|h| h.to_str().ok());
    let known = known.is_some_and(|tags| tags.split(',').any(|t| t.trim().trim_start_matches("W/") == tag));
    let mut answer = Answer::bytes(kind(name), file.data.into_owned());
    if known {
        answer.status = StatusCode::NOT_MODIFIED;
        answer.body.clear();
    }
    // Always asked for again, so that a new version of the program is seen at once; it is small.
    answer.with(ETAG, &tag).with(CACHE_CONTROL, "no-cache")
}

/// The media type of a name.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" | "md" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_assets_are_found() {
        let headers = HeaderMap::new();
        assert_eq!(find("/", &headers).status, StatusCode::OK);
        for path in [
            "/../Cargo.toml",
            "/..%2fCargo.toml",
            "//etc/passwd",
            "/./index.html",
            "/index.html/",
            "/%2e%2e/Cargo.toml",
            "/..\\Cargo.toml",
            "/index.html\0.js",
            "/nothing",
            "/views/../../Cargo.toml",
            "",
        ] {
            assert_eq!(find(path, &headers).status, StatusCode::NOT_FOUND, "{path}");
        }
    }
}
