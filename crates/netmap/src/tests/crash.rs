//! Crashes at any moment.

use proptest::prelude::*;

use super::*;

const HOSTS: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "192.168.7.7"];

#[derive(Debug, Clone)]
enum Act {
    /// A commit of connections.
    Write(Vec<(usize, usize, u16, u32)>),
    /// The mapper goes on.
    Step,
    /// It has learned and is killed.
    KillBeforeSave,
    /// It has written and is killed.
    KillBeforeSend,
    /// It has told and is killed.
    KillAfterSend,
    /// It fails and goes back.
    Fail,
}

fn act() -> impl Strategy<Value = Act> {
    let flow = (0..HOSTS.len(), 0..HOSTS.len(), 1u16..4, 0u32..3);
    prop_oneof![
        4 => proptest::collection::vec(flow, 1..6).prop_map(Act::Write),
        2 => Just(Act::Step),
        1 => Just(Act::KillBeforeSave),
        1 => Just(Act::KillBeforeSend),
        1 => Just(Act::KillAfterSend),
        1 => Just(Act::Fail),
    ]
}

fn flows(flows: &[(usize, usize, u16, u32)]) -> Vec<Flow> {
    let one = |(from, to, port, client): &(usize, usize, u16, u32)| Flow {
        client: *client,
        ..flow(HOSTS[*from], HOSTS[*to], *port)
    };
    flows.iter().map(one).collect()
}

/// Everything in a map but the numbers of rows and what follows from them.
fn content(stand: &Stand) -> Vec<(IpAddr, crate::Host)> {
    let mut hosts = stand.map().range(IpAddr::from([0; 16]), IpAddr::from([255; 16]), None, 1000).unwrap();
    hosts.iter_mut().for_each(|(_, host)| (host.id, host.uid) = (0, [0; 16]));
    hosts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// X1, X2, X3
    #[test]
    fn after_crashes_map_and_events_are_what_they_would_have_been(acts in proptest::collection::vec(act(), 1..20)) {
        let (mut torn, mut whole) = (Stand::new(), Stand::new());
        let mut mapper = Some(torn.mapper(Policy::default()));
        for act in &acts {
            let mut kill = |work: &mut dyn FnMut(&mut Mapper)| {
                let mut old = mapper.take().unwrap();
                work(&mut old);
                drop(old);
                mapper = Some(torn.mapper(Policy::default()));
            };
            match act {
                Act::Write(some) => {
                    torn.flows(&flows(some));
                    whole.flows(&flows(some));
                }
                Act::Step => drain(mapper.as_mut().unwrap()),
                Act::KillBeforeSave => kill(&mut |m| { m.send().unwrap(); m.read_for_test(); }),
                Act::KillBeforeSend => kill(&mut |m| { m.send().unwrap(); m.read_for_test(); m.save(&[]).unwrap(); }),
                Act::KillAfterSend => kill(&mut |m| drain(m)),
                Act::Fail => {
                    let mapper = mapper.as_mut().unwrap();
                    mapper.send().unwrap();
                    mapper.read_for_test();
                    mapper.again().unwrap();
                }
            }
        }
        drain(mapper.as_mut().unwrap());
        drain(&mut whole.mapper(Policy::default()));
        prop_assert_eq!(content(&torn), content(&whole));
        let events = |stand: &Stand| {
            let mut told: Vec<_> = stand.records().into_iter().map(|(kind, at, _)| (kind, at)).collect();
            told.sort();
            told
        };
        prop_assert_eq!(events(&torn), events(&whole));
    }
}

/// X4
#[test]
fn a_lost_map_is_learned_again_and_told_once() {
    let mut stand = Stand::new();
    stand.flows(&[flow("10.0.0.1", "10.0.0.2", 80)]);
    drain(&mut stand.mapper(Policy::default()));
    let told = stand.told();
    assert_eq!(told, [10, 10, 11]);
    let hosts = content(&stand);
    for file in ["map.db", "map.db-wal", "map.db-shm"] {
        let _ = std::fs::remove_file(stand.dir.path().join(file));
    }
    let mut mapper = stand.mapper(Policy::default());
    // Killed half way, too.
    mapper.read_for_test();
    mapper.save(&[]).unwrap();
    drop(mapper);
    stand.flows(&[flow("10.0.0.3", "10.0.0.2", 80)]);
    let mut mapper = stand.mapper(Policy::default());
    drain(&mut mapper);
    assert_eq!(stand.told(), [10, 10, 11, 10]);
    assert_eq!(content(&stand)[0].1.addresses, hosts[0].1.addresses);
    assert_eq!(mapper.hosts(), 3);
}

/// X5
#[test]
fn another_archive_is_read_from_its_beginning() {
    let mut stand = Stand::new();
    stand.flows(&[flow("10.0.0.1", "10.0.0.2", 80), flow("10.0.0.1", "10.0.0.2", 81)]);
    drain(&mut stand.mapper(Policy::default()));
    let mut other = Stand::new();
    std::fs::copy(stand.map_path(), other.map_path()).unwrap();
    other.flows(&[flow("10.0.0.3", "10.0.0.2", 80)]);
    let mut mapper = other.mapper(Policy::default());
    drain(&mut mapper);
    assert_eq!((other.told(), mapper.hosts()), (vec![10], 3));
}

#[test]
fn there_is_one_mapper_of_a_map() {
    let stand = Stand::new();
    let _first = stand.mapper(Policy::default());
    let clock = of(&stand.clock);
    let error = Mapper::open(stand.dir.path(), 0, &stand.map_path(), Policy::default(), clock).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
}

/// How fast connection events are learned from: `cargo test --release -p estreamer-netmap -- --ignored --nocapture speed`
#[test]
#[ignore = "measures"]
fn speed() {
    let mut stand = Stand::new();
    let hosts: Vec<&'static str> =
        (0..2000u32).map(|n| &*Box::leak(format!("10.0.{}.{}", n / 250, 1 + n % 250).into_boxed_str())).collect();
    let total = 400_000usize;
    for first in (0..total).step_by(2000) {
        let flows: Vec<_> = (first..first + 2000)
            .map(|n| Flow {
                client: 7,
                application: 9,
                ..flow(hosts[n % 2000], hosts[(n * 7 + 1) % 50], 80 + (n % 5) as u16)
            })
            .collect();
        stand.flows(&flows);
    }
    let mut mapper = stand.mapper(Policy::default());
    let begun = std::time::Instant::now();
    drain(&mut mapper);
    println!("{:.0} events/s, {} hosts", total as f64 / begun.elapsed().as_secs_f64(), mapper.hosts());
}
