//! `openapi.yaml`, and whether answers are as it says.

use super::Answer;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What it says, with every object closed: an answer must not have what is not described.
pub struct Description(Value);

impl Description {
    pub fn read() -> Description {
        let mut document: Value = serde_norway::from_str(admin::OPENAPI).unwrap();
        close(&mut document["components"]["schemas"]);
        close(&mut document["paths"]);
        Description(document)
    }

    /// All methods and paths.
    pub fn routes(&self) -> BTreeSet<(String, String)> {
        let mut routes = BTreeSet::new();
        for (path, methods) in self.0["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys().filter(|m| *m != "parameters") {
                routes.insert((method.to_uppercase(), path.clone()));
            }
        }
        routes
    }

    /// Checks an answer to a request for a path that is described.
    pub fn check(&self, method: &str, path: &str, answer: &Answer) {
        let path = path.split('?').next().unwrap();
        let paths = self.0["paths"].as_object().unwrap();
        let Some((template, operations)) = paths.iter().find(|(template, _)| fits(template, path)) else {
            assert!(!path.starts_with("/api/") || answer.status == 404, "{path}: {answer:?}");
            return;
        };
        let what = format!("{method} {template}: {}", answer.status);
        let method = if method == "HEAD" { "GET" } else { method };
        let Some(operation) = operations.get(method.to_lowercase()) else {
            assert_eq!(answer.status, 405, "{what}");
            return;
        };
        let response = self.resolved(&operation["responses"][answer.status.to_string()]);
        assert!(!response.is_null(), "{what} is not described: {}", String::from_utf8_lossy(&answer.body));
        let Some(content) = response["content"].as_object() else {
            assert!(answer.body.is_empty(), "{what} has a body");
            return;
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let Some(content) = content.get(kind) else { panic!("{what} is {kind}") };
        if kind != "application/json" || answer.body.is_empty() {
            return;
        }
        let schema = json!({ "allOf": [content["schema"]], "components": self.0["components"] });
        let validator: Validator = jsonschema::validator_for(&schema).unwrap();
        let value = answer.json();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len() && template.iter().zip(path).all(|(t, p)| t.starts_with('{') || *t == p)
}

fn close(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("properties") && !map.contains_key("additionalProperties") {
                map.insert("additionalProperties".into(), false.into());
            }
            map.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}
