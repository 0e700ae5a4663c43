//! The maps of a directory: what is missing, what changes, what is nonsense.
#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;
use sensors::maps::{MapError, MapFiles, RuleMaps};

#[test]
fn a_directory_without_maps_is_an_error_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let error = RuleMaps::load(dir.path()).unwrap_err();
    assert!(matches!(error, MapError::NoMaps { .. }));
    assert!(error.to_string().ends_with("give the directory of the sensor's rule maps"));
}

#[test]
fn a_named_file_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let files = MapFiles { gen_msg: Some(dir.path().join("gen-msg.map")), ..MapFiles::default() };
    assert!(matches!(RuleMaps::load_files(files), Err(MapError::Io { .. })));
    let files = MapFiles { gen_msg: Some(dir.path().to_owned()), ..MapFiles::default() };
    assert!(matches!(RuleMaps::load_files(files), Err(MapError::Io { .. })));
    assert_eq!(RuleMaps::load_files(MapFiles::default()).unwrap().sizes(), (0, 0, 0));
}

#[test]
fn the_generator_decides_which_map_counts() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("sid-msg.map"), "1 || rule one\n2 || rule two\n").unwrap();
    fs::write(dir.path().join("gen-msg.map"), "1 || 1 || general\n1 || 9 || nine\n116 || 2 || decoder\n").unwrap();
    let maps = RuleMaps::load(dir.path()).unwrap();
    let text = |gid, sid| maps.message(gid, sid).map(|rule| rule.message.as_str());
    assert_eq!(text(1, 1), Some("rule one"));
    assert_eq!(text(3, 2), Some("rule two"));
    assert_eq!(text(1, 9), Some("nine"));
    assert_eq!(text(116, 2), Some("decoder"));
    assert_eq!(text(116, 1), None);
    assert_eq!(maps.classification(1), None);
}

#[test]
fn changed_files_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let sids = dir.path().join("sid-msg.map");
    fs::write(&sids, "1 || old\nbad\n").unwrap();
    let mut maps = RuleMaps::load(dir.path()).unwrap();
    assert_eq!(maps.warnings().count(), 1);
    assert!(!maps.refresh());

    fs::write(&sids, "1 || new text\n").unwrap();
    assert!(maps.refresh());
    assert!(!maps.refresh());
    assert_eq!(maps.message(1, 1).unwrap().message, "new text");
    assert_eq!(maps.warnings().count(), 0);

    // A file that comes later is found.
    let classes = "config classification: unknown,Unknown Traffic,3\n";
    fs::write(dir.path().join("classification.config"), classes).unwrap();
    assert!(maps.refresh());
    assert_eq!(maps.classification(1).unwrap().name, "unknown");
    assert_eq!(maps.classification_named("Unknown").unwrap().id, 1);

    // One that goes leaves what was known, and is reported once.
    fs::remove_file(&sids).unwrap();
    assert!(!maps.refresh());
    assert!(!maps.refresh());
    assert_eq!(maps.message(1, 1).unwrap().message, "new text");
    let said: Vec<_> = maps.warnings().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with(&format!("{}: cannot read rule map", sids.display())));
    fs::write(&sids, "1 || back\n").unwrap();
    assert!(maps.refresh());
    assert_eq!(maps.message(1, 1).unwrap().message, "back");
    assert_eq!(maps.warnings().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_never_panics(
        bytes in proptest::collection::vec(
            prop_oneof![any::<u8>(), proptest::sample::select(b"||,#\n\r 019:config".to_vec())],
            0..400,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sid-msg.map", "gen-msg.map", "classification.config"] {
            fs::write(dir.path().join(name), &bytes).unwrap();
        }
        let maps = RuleMaps::load(dir.path()).unwrap();
        let _ = (maps.message(1, 1), maps.classification(1), maps.warnings().count());
    }
}
