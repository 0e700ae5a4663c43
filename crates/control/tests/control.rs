//! Administrator, service and sensor, each with its own connection.

use control::{Beat, Captured, Control, Error, EventType, Post, Sensor, SensorState, Watch};
use std::os::unix::fs::PermissionsExt;

const SENSOR: Sensor<'_> = Sensor { netmap: 0, source: "eve-3", device: 3, name: "ids-3", kind: "eve" };

#[test]
fn what_is_unchecked_counts_at_once_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let control = Control::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (mut watch, mut post) = (Watch::open(&path).unwrap(), Post::open(&path, &SENSOR).unwrap());
    assert_eq!((watch.captured(), post.refresh().captured), (Captured::ALL, Captured::ALL));
    control.set_captured(EventType::Discovery, false).unwrap();
    control.set_captured(EventType::Discovery, false).unwrap();
    let without = Captured::ALL.with(EventType::Discovery, false);
    assert!(watch.refresh() && !watch.refresh());
    assert_eq!((watch.captured(), post.refresh().captured), (without, without));
    // As a new process sees it.
    assert_eq!(Control::open(&path).unwrap().captured().unwrap(), without);
    control.set_captured(EventType::Discovery, true).unwrap();
    assert!(watch.refresh());
    assert_eq!((watch.captured(), post.refresh().captured), (Captured::ALL, Captured::ALL));
}

#[test]
fn a_pause_holds_all_and_one_of_a_sensor_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let control = Control::open(&path).unwrap();
    let (mut watch, mut post) = (Watch::open(&path).unwrap(), Post::open(&path, &SENSOR).unwrap());
    let mut other = Post::open(&path, &Sensor { source: "eve-4", device: 4, name: "ids-4", ..SENSOR }).unwrap();
    let pause = control.set_pause("backup").unwrap();
    assert_eq!(control.set_pause("longer backup").unwrap().since, pause.since);
    assert!(watch.refresh());
    assert_eq!(watch.pause().unwrap().reason, "longer backup");
    assert!(post.refresh().hold.as_deref().unwrap().contains("longer backup"));
    control.resume().unwrap();
    assert!(watch.refresh() && watch.pause().is_none() && post.refresh().hold.is_none());

    let id = control.sensors().unwrap()[0].id;
    control.set_sensor_paused(id, true).unwrap();
    assert!(!watch.refresh(), "nothing changed for the service");
    assert!(post.refresh().hold.is_some() && other.refresh().hold.is_none());
    post.beat(&Beat::default()).unwrap();
    assert_eq!(control.sensors().unwrap()[0].state, SensorState::Paused);
    control.set_sensor_paused(id, false).unwrap();
    assert!(post.refresh().hold.is_none());
    assert!(matches!(control.set_sensor_paused(99, true), Err(Error::NoSensor(99))));
    assert!(matches!(control.set_pause("a\nb"), Err(Error::BadName { .. })));
}

#[test]
fn sensors_report_end_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let control = Control::open(&path).unwrap();
    let mut post = Post::open(&path, &SENSOR).unwrap();
    let events = vec![(EventType::Intrusion, 5), (EventType::File, 2), (EventType::Intrusion, 1)];
    post.beat(&Beat { events, discarded: 3, last_event: Some(77), lag: Some(2), waiting: None }).unwrap();
    post.beat(&Beat { waiting: Some("the archive has no room".into()), ..Beat::default() }).unwrap();
    let [sensor] = &control.sensors().unwrap()[..] else { panic!("one sensor") };
    assert_eq!((sensor.device, sensor.events, sensor.discarded, sensor.last_event), (3, 8, 3, Some(77)));
    assert_eq!((sensor.state, sensor.waiting.as_deref()), (SensorState::Waiting, Some("the archive has no room")));
    control.forget_sensor(sensor.id).unwrap();
    assert!(control.sensors().unwrap().is_empty());
    post.beat(&Beat::default()).unwrap();
    assert_eq!(control.sensors().unwrap()[0].state, SensorState::Running);
    drop(post);
    assert_eq!(control.sensors().unwrap()[0].state, SensorState::Stopped);
    let _post = Post::open(&path, &Sensor { name: "renamed", ..SENSOR }).unwrap();
    let [sensor] = &control.sensors().unwrap()[..] else { panic!("one sensor") };
    assert_eq!((sensor.name.as_str(), sensor.state), ("renamed", SensorState::Running));
}

#[test]
fn domains_have_one_name_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    let control = Control::open(&path).unwrap();
    control.add_domain(2, "Plant").unwrap();
    control.add_domain(0, "Global").unwrap();
    let names: Vec<_> = control.domains().unwrap().into_iter().map(|d| (d.netmap, d.name)).collect();
    assert_eq!(names, [(0, "Global".to_owned()), (2, "Plant".to_owned())]);
    for (netmap, name) in [(2, "New"), (3, "plant")] {
        assert!(matches!(control.add_domain(netmap, name), Err(Error::DomainThere { .. })));
    }
    assert!(matches!(control.add_domain(0x8000, "x"), Err(Error::BadNetmap(0x8000))));
    assert!(matches!(control.add_domain(4, ""), Err(Error::BadName { .. })));
}

#[test]
fn a_file_that_is_none_or_is_newer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.db");
    std::fs::write(&path, [7; 8192]).unwrap();
    assert!(matches!(Control::open(&path), Err(Error::Database { .. })));
    assert!(matches!(Control::open(&folder.path().join("no/control.db")), Err(Error::Create { .. })));
}
