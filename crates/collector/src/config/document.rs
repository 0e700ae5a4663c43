//! A configuration file as a tree of values: JSON as eNcore writes it, or the same structure in TOML.

use super::ConfigError;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Reads a file: TOML when its name ends in `.toml`, else JSON.
pub fn read(path: &Path) -> Result<Value, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    parse(&text, path)
}

/// Whether a file of this name is TOML.
pub fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("toml"))
}

/// The folder relative paths count from: that of the file.
pub fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The same from text; `path` decides what it is, and errors name it.
pub fn parse(text: &str, path: &Path) -> Result<Value, ConfigError> {
    // Windows editors put a mark before the first character, which is no JSON.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let syntax =
        |line, column, message, language| ConfigError::Syntax { path: path.into(), line, column, message, language };
    if is_toml(path) {
        return toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            let before = text.get(..offset).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            syntax(line, column, error.message().to_owned(), "TOML, because its name ends in .toml")
        });
    }
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
        syntax(error.line(), error.column(), message, "JSON, as eNcore writes it")
    })
}

/// The tree with everything secret in it replaced: fit for a log.
pub fn redacted(document: &Value) -> Value {
    fn secret(key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        let paths = ["keyfile", "scpkeyfilepath"];
        let words = ["password", "token", "apikey", "secret", "authorization", "headers", "proxy"];
        !paths.contains(&key.as_str()) && words.iter().any(|word| key.contains(word))
    }
    match document {
        Value::Object(map) => {
            let hide = |(key, value): (&String, &Value)| {
                let value = match secret(key) && !value.is_null() && value.as_str() != Some("") {
                    true => Value::from("(hidden)"),
                    false => redacted(value),
                };
                (key.clone(), value)
            };
            Value::Object(map.iter().map(hide).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(redacted).collect()),
        Value::String(text) => Value::String(without_user(text)),
        other => other.clone(),
    }
}

/// A URI without the password before its host.
pub fn without_user(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = authority.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:(hidden)@{host}{path}"))
    });
    parts.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn toml_has_the_structure_of_the_json() {
        let text = "start = 2\n[subscription]\nservers = [{host = \"fmc\", port = 8302}]\n[[handler.outputters]]\nadapter = \"json\"\n";
        let json = json!({
            "start": 2,
            "subscription": {"servers": [{"host": "fmc", "port": 8302}]},
            "handler": {"outputters": [{"adapter": "json"}]}
        });
        assert_eq!(parse(text, Path::new("e.toml")).unwrap(), json);
        let error = parse("start = 2\nenabled = yes\n", Path::new("e.toml")).unwrap_err().to_string();
        assert!(error.starts_with("e.toml, line 2, column 11: ") && error.contains("must be TOML"), "{error}");
        assert!(parse("\u{feff}{}", Path::new("e.conf")).is_ok());
    }

    #[test]
    fn nothing_secret_stays() {
        let document = json!({
            "password": "hunter2",
            "subscription": {"servers": [{"host": "fmc", "password": "hunter2", "pkcs12Filepath": "c.pkcs12"}]},
            "handler": {"outputters": [{"stream": {"uri": "https://user:hunter2@es:9200/x", "options":
                {"token": "hunter2", "headers": {"X": "hunter2"}, "keyFile": "key.pem", "apiKey": "hunter2"}}}]}
        });
        let text = redacted(&document).to_string();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("key.pem") && text.contains("https://user:(hidden)@es:9200/x"), "{text}");
        assert_eq!(redacted(&json!({"password": ""})), json!({"password": ""}));
    }
}
