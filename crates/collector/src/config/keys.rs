//! Keys that are known, keys that do nothing, and what happens instead.

use super::{Object, Reader};

/// Keys of eNcore and its relatives that change nothing here: place and name without list numbers, and what happens
/// instead.
const IDLE: &[(&str, &str)] = &[
    ("responseTimeout", "the connection is watched by the kernel, and silence is told in the log"),
    ("workerProcesses", "there is one process, with a thread for each processor"),
    ("batchSize", "batches are closed by size and time; nothing is held back"),
    ("queueSize", "every queue is bounded by itself"),
    ("maxQueueSize", "every queue is bounded by itself"),
    ("alwaysAttemptToContinue", "it always reconnects, and goes on where it was"),
    ("pcapMaxSize", "no version of eNcore used it"),
    ("pcapOutputFormat", "no version of eNcore used it"),
    ("version", "the file is read in every version"),
    ("ec2Region", "nothing is fetched from a cloud"),
    ("ec2CertificatePasswordName", "nothing is fetched from a cloud: give the password in ESTREAMER_PASSWORD"),
    ("monitor.velocity", "no version of eNcore printed it"),
    ("monitor.subscribed", "no version of eNcore printed it"),
    ("subscription.servers.tlsVersion", "TLS 1.3 or 1.2 is used, whichever the server has"),
    ("subscription.records.connection", "connection events are chosen by handler.records.connections"),
    ("handler.records.flows", "connection events are chosen by handler.records.connections"),
    ("handler.outputters.name", ""),
    ("logging.levelOptions", ""),
    ("handler.outputters.stream.options.awssource", "nothing is written to S3"),
    ("handler.outputters.stream.options.awsBufferRate", "nothing is written to S3"),
    ("handler.outputters.stream.options.accountId", "nothing is written to S3"),
    ("handler.outputters.stream.options.region", "nothing is written to S3"),
    ("handler.outputters.stream.options.Loglevel", "answers that are errors are always in the log"),
];

impl Reader<'_> {
    /// Warns about keys that are not among `names`, and tells of those that do nothing. Keys with `comment` in their
    /// name are how eNcore's file carries comments.
    pub(super) fn known(&mut self, object: &Object<'_>, names: &[&str]) {
        for key in object.map.keys().filter(|k| !k.contains("comment")) {
            let place = object.key(key);
            if let Some((_, instead)) = IDLE.iter().find(|(idle, _)| *idle == general(&place)) {
                if !instead.is_empty() {
                    self.notices.push(format!("{place} does nothing: {instead}"));
                }
            } else if !names.contains(&key.as_str()) {
                let here = general(&object.place);
                let idle = IDLE.iter().filter_map(|(idle, _)| match here.is_empty() {
                    true => Some(*idle).filter(|idle| !idle.contains('.')),
                    false => idle.strip_prefix(&here)?.strip_prefix('.').filter(|idle| !idle.contains('.')),
                });
                let meant = nearest(key, &names.iter().copied().chain(idle).collect::<Vec<_>>());
                let meant = meant.map(|name| format!(". Did you mean {name}?")).unwrap_or_default();
                self.warnings.push(format!("{place} is no key this collector knows; it is ignored{meant}"));
            }
        }
    }
}

/// `handler.outputters[0].name` is `handler.outputters.name`.
fn general(place: &str) -> String {
    let mut text = String::with_capacity(place.len());
    let mut inside = false;
    for c in place.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => text.push(c),
            _ => {}
        }
    }
    text
}

/// The name a misspelled one is most like, if any is.
fn nearest<'a>(key: &str, names: &[&'a str]) -> Option<&'a str> {
    let lower = key.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_ascii_lowercase());
    let best = names.iter().min_by_key(|name| distance(name))?;
    // A third of the letters wrong is another word.
    (distance(best) * 3 <= key.chars().count().max(3)).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_no_far_one() {
        let names = ["connectTimeout", "handler", "subscription", "start"];
        assert_eq!(nearest("conectTimeout", &names), Some("connectTimeout"));
        assert_eq!(nearest("Handler", &names), Some("handler"));
        assert_eq!(nearest("stat", &names), Some("start"));
        assert_eq!(nearest("velocity", &names), None);
        assert_eq!(general("handler.outputters[12].stream.options.x"), "handler.outputters.stream.options.x");
    }
}
