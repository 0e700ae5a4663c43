//! Examination and repair. The names K1 to K6 are those of the crate's documentation.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code may fail loudly")]

mod common;

use std::fs;
use std::path::PathBuf;

use archive::{
    Archive, Batch, Cause, Checked, Finding, Keep, Mended, Removal, Repair, Retention, Severity, Start, What, Why,
};
use common::{
    NETMAP, Site, batches, cut, drain, event, flip, length, note, overwrite, position, put, put_at, put_note,
};

/// Segments at 1000 (events 1, 2, 3), 1010 (4, 5) and 1030 (6, 7), with sticky items and positions. The writer is open.
fn three_segments() -> (Site, Archive) {
    let mut site = Site::new();
    site.segment_seconds = 10;
    let mut archive = site.open();
    for (id, second) in [(1, 1000), (2, 1002), (3, 1002), (4, 1010), (5, 1015), (6, 1030), (7, 1031)] {
        site.at(second);
        let mut batch = Batch::new();
        batch.push_event(&event(id, 20)).unwrap();
        if id < 5 {
            batch.push_sticky(format!("k{id}").as_bytes(), &note(&format!("n{id}"))).unwrap();
        }
        batch.set_position(b"s", &[id as u8]).unwrap();
        archive.commit(&mut batch).unwrap();
    }
    (site, archive)
}

fn check(site: &Site) -> (Vec<Checked>, Vec<Finding>) {
    let mut segments = Vec::new();
    let rest = archive::check(site.root(), NETMAP, &mut |_| None, |checked| segments.push(checked)).unwrap();
    (segments, rest)
}

/// All findings: offset, bytes, events, what.
fn found(site: &Site) -> Vec<(u64, u64, u64, What)> {
    let (segments, rest) = check(site);
    let all = segments.into_iter().flat_map(|segment| segment.findings).chain(rest);
    all.map(|finding| (finding.offset, finding.bytes, finding.events, finding.what)).collect()
}

fn worst(site: &Site) -> Option<Severity> {
    found(site).into_iter().map(|(.., what)| what.severity()).max()
}

fn repair(site: &Site, cut: bool) -> Vec<Mended> {
    let mut done = Vec::new();
    archive::repair(site.root(), NETMAP, cut, &mut |mended| done.push(mended)).unwrap();
    done
}

/// What was done, without what was seen.
fn deeds(site: &Site, cut: bool) -> Vec<Mended> {
    repair(site, cut).into_iter().filter(|mended| !matches!(mended, Mended::Examined { .. })).collect()
}

/// K1
#[test]
fn what_is_in_order_has_no_findings() {
    let site = Site::new();
    assert_eq!(found(&site), [], "nothing at all");
    let (site, _archive) = three_segments();
    let (segments, rest) = check(&site);
    assert_eq!(rest, []);
    let seen: Vec<_> = segments.iter().map(|s| (s.start, s.last, s.first_sequence, s.events, s.newest)).collect();
    assert_eq!(
        seen,
        [(1000, Some(1002), 0, 3, false), (1010, Some(1015), 3, 2, false), (1030, Some(1031), 5, 2, true)]
    );
    assert_eq!(segments.iter().map(|s| s.metadata).sum::<u64>(), 4 + 3 + 4, "copies are counted too");
    assert!(segments.iter().all(|s| s.severity().is_none() && s.bytes == length(&s.path)));
    assert_eq!(deeds(&site, true), []);
    // The examiner sees every item, and what it says is a note.
    let (mut items, mut notes) = (0, 0);
    archive::check(
        site.root(),
        NETMAP,
        &mut |item| {
            items += 1;
            (item.len() == 24 + 20 && item[24..28] == [0, 0, 0, 4]).then(|| "four".to_owned())
        },
        |checked| notes += checked.findings.iter().filter(|f| f.what == What::Record("four".into())).count(),
    )
    .unwrap();
    assert_eq!((items, notes), (7 + 11, 1));
}

/// K1, K3, K4: each batch of each segment, its header and its body, while a writer and a reader have the archive open. What is
/// found is that batch, a repair without `cut` changes nothing, and one with it leaves all the rest.
#[test]
fn damage_anywhere_is_found_and_cut_out() {
    for (segment, start) in [1000, 1010, 1030].into_iter().enumerate() {
        let count = batches(&three_segments().0.segment(start)).len() - 1;
        for number in 0..count {
            for byte in [5, 41] {
                let (site, mut writer) = three_segments();
                let path = site.segment(start);
                let at = batches(&path);
                let (from, to) = (at[number], at[number + 1]);
                let mut follower = site.reader(Start::Genesis);
                let mut buf = Vec::new();
                follower.next(&mut buf).unwrap();
                flip(&path, from + byte);
                let name = format!("segment {start}, batch {number}, byte {byte}");
                let damaged = fs::read(&path).unwrap();
                let before = site.read(Start::Genesis);
                let lost = 7 - before.events.len() as u64;

                let all = found(&site);
                let damage: Vec<_> = all.iter().filter(|(.., what)| what.severity() == Severity::Loss).collect();
                assert_eq!(damage, [&(from, to - from, lost, What::Damaged)], "{name}");

                let left = |done: &[Mended]| done.iter().any(|m| matches!(m, Mended::Examined { left: true, .. }));
                assert!(left(&repair(&site, false)), "{name}");
                assert_eq!(fs::read(&path).unwrap(), damaged, "{name}");

                let done = repair(&site, true);
                assert!(!left(&done), "{name}: {done:?}");
                let replaced: Vec<_> = done
                    .iter()
                    .filter_map(|mended| match mended {
                        Mended::Replaced { path, cut, missing, kept, .. } => Some((path, *cut, *missing, kept)),
                        _ => None,
                    })
                    .collect();
                let kept = site.dir().join(format!("unified2.{start}.damaged-{from}"));
                assert_eq!(replaced, [(&path, to - from, lost, &vec![kept.clone()])], "{name}");
                assert_eq!(fs::read(kept).unwrap(), damaged[from as usize..to as usize], "{name}");
                let began = done.iter().any(|mended| matches!(mended, Mended::Began { .. }));
                assert_eq!(began, segment == 2, "{name}");

                assert!(worst(&site) <= Some(Severity::Note), "{name}: {:?}", found(&site));
                let after = site.read(Start::Genesis);
                assert_eq!(after.events, before.events, "{name}");
                assert_eq!(after.lost.iter().map(|lost| lost.events).sum::<u64>(), lost, "{name}");
                assert!(after.lost.iter().all(|lost| lost.cause == Cause::Missing), "{name}");
                assert_eq!(deeds(&site, true), [], "{name}: a repair is made once");

                // Who was there before goes on, and whoever comes now sees all that is there.
                put(&mut writer, [99]);
                put(&mut site.open(), [100]);
                let ids = [before.ids(), vec![99, 100]].concat();
                assert_eq!(site.events(), ids, "{name}");
                assert_eq!(site.read(Start::Genesis).events.last().unwrap().sequence, 8);
                // It may have had the damaged batch in memory already.
                let mut followed = drain(&mut follower).ids();
                followed.retain(|id| ids.contains(id) && *id > 1);
                let expected: Vec<_> = ids.into_iter().filter(|id| *id > 1).collect();
                assert_eq!(followed, expected, "{name}");
                assert!(worst(&site) <= Some(Severity::Note), "{name}: {:?}", found(&site));
                // A reader that needs the copies gets all that is known of them.
                let sticky = site.read(Start::Now).sticky.len();
                assert!(
                    sticky >= before.sticky.iter().map(|s| &s.text).collect::<std::collections::BTreeSet<_>>().len(),
                    "{name}"
                );
            }
        }
    }
}

/// K4: two places, garbage between batches, and damage up to the end of an old segment, which the next one counts.
#[test]
fn several_places_of_a_segment() {
    let (site, _writer) = three_segments();
    let path = site.segment(1000);
    let at = batches(&path);
    flip(&path, at[1] + 3);
    let end = *at.last().unwrap();
    cut(&path, end - 60);
    overwrite(&path, end - 60, &[0xee; 300]);
    let before = site.events();
    let places: Vec<_> = found(&site).iter().map(|(offset, _, events, _)| (*offset, *events)).collect();
    assert_eq!(places.iter().map(|(_, events)| events).sum::<u64>(), 7 - before.len() as u64);
    assert_eq!(places.len(), 2);
    let kept = repair(&site, true).into_iter().find_map(|mended| match mended {
        Mended::Replaced { kept, .. } => Some(kept),
        _ => None,
    });
    assert_eq!(kept.unwrap().len(), 2);
    assert_eq!(site.events(), before);
    assert!(worst(&site) <= Some(Severity::Note), "{:?}", found(&site));
    // Damage beside what was cut out before, and the same offset again.
    flip(&path, batches(&path)[0] + 7);
    repair(&site, true);
    flip(&path, batches(&path)[0] + 7);
    let done = repair(&site, true);
    assert!(worst(&site) <= Some(Severity::Note), "{:?}", found(&site));
    let names: Vec<PathBuf> = done
        .into_iter()
        .filter_map(|mended| match mended {
            Mended::Replaced { kept, .. } => Some(kept),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(names, [site.dir().join("unified2.1000.damaged-24.2")], "an older file is not overwritten");
}

/// K1, K4: a segment deleted by hand, the newest one deleted, one cut short.
#[test]
fn what_is_gone() {
    let (site, mut writer) = three_segments();
    fs::remove_file(site.segment(1010)).unwrap();
    assert_eq!(found(&site), [(24, 0, 2, What::Missing)]);
    repair(&site, true);
    assert_eq!(worst(&site), Some(Severity::Note));
    put(&mut writer, [8]);
    assert_eq!(site.events(), [1, 2, 3, 6, 7, 8]);

    let (site, mut writer) = three_segments();
    let bytes = length(&site.segment(1030));
    fs::remove_file(site.segment(1030)).unwrap();
    assert_eq!(
        found(&site),
        [(0, bytes, 2, What::Missing), (0, 0, 0, What::Head("names a segment that is not there"))]
    );
    repair(&site, true);
    assert!(worst(&site) <= Some(Severity::Note), "{:?}", found(&site));
    put(&mut writer, [8]);
    assert_eq!(site.events(), [1, 2, 3, 4, 5, 8]);
    assert_eq!(site.read(Start::Genesis).events.last().unwrap().sequence, 7);

    let (site, mut writer) = three_segments();
    let path = site.segment(1030);
    let at = batches(&path);
    let last = at.len() - 3;
    cut(&path, at[last]);
    assert_eq!(found(&site), [(at[last], bytes - at[last], 1, What::Missing)]);
    let done = deeds(&site, true);
    assert!(matches!(&done[0], Mended::Recovered(Repair::Missing { .. })), "{done:?}");
    assert!(worst(&site) <= Some(Severity::Note), "{:?}", found(&site));
    put(&mut writer, [8]);
    assert_eq!(site.events(), [1, 2, 3, 4, 5, 6, 8]);
}

/// K3: what can be made good without losing anything is, without `cut`.
#[test]
fn nothing_lost_and_made_good() {
    // A torn tail; a writer may be about to publish it, so it is one only while nobody has the lock.
    let (site, writer) = three_segments();
    drop(writer);
    let end = site.head().unwrap().offset;
    overwrite(&site.segment(1030), end, b"torn");
    assert_eq!(found(&site), [(end, 4, 0, What::Unfinished)]);
    assert!(matches!(&deeds(&site, false)[..], [Mended::Recovered(Repair::Truncated { bytes: 4, .. })]));
    // A head that is gone, or damaged.
    fs::remove_file(site.dir().join("head")).unwrap();
    assert_eq!(found(&site), [(0, 0, 0, What::Head("is missing"))]);
    assert_eq!(deeds(&site, false), [Mended::Recovered(Repair::Head)]);
    flip(&site.dir().join("head"), 20);
    assert_eq!(found(&site), [(0, 0, 0, What::Head("is damaged"))]);
    assert_eq!(deeds(&site, false), [Mended::Recovered(Repair::Head)]);
    // Headers of an old segment and of the newest.
    for start in [1010, 1030] {
        flip(&site.segment(start), 8);
        assert_eq!(found(&site), [(0, 24, 0, What::SegmentHeader)]);
        assert_eq!(deeds(&site, false), [Mended::Header { path: site.segment(start) }]);
        assert_eq!(found(&site), []);
    }
    // Copies that lack something, after damage to them was cut out; the cut fills them in already.
    let at = batches(&site.segment(1010));
    flip(&site.segment(1010), at[0] + 41);
    let copied = deeds(&site, true).into_iter().find_map(|mended| match mended {
        Mended::Replaced { copied, missing, .. } => Some((copied, missing)),
        _ => None,
    });
    assert_eq!(copied, Some((3, 0)));
    let seen = site.read(Start::Second(1015));
    assert_eq!(
        seen.sticky().iter().map(|(text, _)| *text).collect::<Vec<_>>(),
        ["n1", "n2", "n3", "n4", "n1", "n2", "n3", "n4"]
    );
    assert_eq!(found(&site), []);
    assert_eq!(site.events(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(position(&mut site.open(), "s").unwrap().as_bytes(), [7]);
}

/// K5: what a repair left that was killed goes with the next one, and another one at work is not disturbed.
#[test]
fn leftovers_of_a_repair() {
    let (site, _writer) = three_segments();
    let leftover = site.dir().join("unified2.1010.repair");
    fs::write(&leftover, b"half").unwrap();
    let other = fs::File::open(site.segment(1010)).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let error = archive::repair(site.root(), NETMAP, true, &mut |_| {}).unwrap_err();
    assert!(matches!(error, archive::Error::Repairing { .. }), "{error}");
    assert!(leftover.exists());
    drop(other);
    assert_eq!(deeds(&site, false), []);
    assert!(!leftover.exists());
}

/// A segment of another version or place is told and left alone, and the others are examined.
#[test]
fn foreign_segments() {
    let (site, _writer) = three_segments();
    fs::copy(site.segment(1000), site.segment(1005)).unwrap();
    let findings = found(&site);
    assert!(matches!(&findings[..], [(0, _, 0, What::Foreign(why))] if why.contains("unified2.1000")), "{findings:?}");
    let before = fs::read(site.segment(1005)).unwrap();
    assert!(repair(&site, true).iter().any(|mended| matches!(mended, Mended::Examined { left: true, .. })));
    assert_eq!(fs::read(site.segment(1005)).unwrap(), before);
}

/// A repair of what is not there says so, and makes nothing.
#[test]
fn no_such_network_map() {
    let site = Site::new();
    let error = archive::repair(site.root(), 3, true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("netmap_3"), "{error}");
    assert!(!site.root().join("netmap_3").exists());
}

/// K6: by age, by size of each network map, and by free space over all of them; the newest of each stays.
#[test]
fn retention_over_network_maps() {
    let (site, _writer) = three_segments();
    let (mut other, _) = Archive::open(site.root(), 2, site.options()).unwrap();
    for (id, second) in [(1, 1005), (2, 1020), (3, 1040)] {
        site.at(second);
        put(&mut other, [id]);
    }
    let names = |keep| {
        let plan = Retention::plan(site.root(), keep).unwrap();
        let name = |r: &Removal| (r.netmap, r.from, r.before, r.why);
        (plan.segments.iter().map(name).collect::<Vec<_>>(), plan.lacking > 0)
    };
    assert_eq!(names(Keep::default()), (vec![], false));
    let since = Keep { since: Some(1020), ..Keep::default() };
    assert_eq!(names(since), (vec![(2, 1005, 1020, Why::Age), (7, 1000, 1010, Why::Age)], false));
    let all = Keep { free: Some(u64::MAX), ..since };
    assert_eq!(
        names(all),
        (
            vec![
                (2, 1005, 1020, Why::Age),
                (7, 1000, 1010, Why::Age),
                (7, 1010, 1030, Why::Room),
                (2, 1020, 1040, Why::Room)
            ],
            true
        )
    );
    // What is open still will be free.
    let held =
        Keep { free: Some(archive::room(site.root()).unwrap().free + (1 << 40)), held: 1 << 41, ..Keep::default() };
    assert_eq!(names(held), (vec![], false));
    let size = Keep { bytes: Some(length(&site.segment(1030))), ..Keep::default() };
    let (gone, _) = names(size);
    let mine: Vec<_> = gone.into_iter().filter(|(netmap, ..)| *netmap == NETMAP).collect();
    assert_eq!(mine, [(7, 1000, 1010, Why::Size), (7, 1010, 1030, Why::Size)]);
    // What a repair left beside a segment goes with it.
    fs::write(site.dir().join("unified2.1000.damaged-24"), b"x").unwrap();
    let mut told = Vec::new();
    Retention::plan(site.root(), all).unwrap().carry_out(|removal| told.push(removal.from)).unwrap();
    assert_eq!(told, [1005, 1000, 1010, 1020]);
    let left: Vec<_> =
        fs::read_dir(site.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left.iter().filter(|name| name.starts_with("unified2")).collect::<Vec<_>>(), ["unified2.1030"]);
    assert_eq!(found(&site), [], "what retention took is not missing");
}

/// K2: examining while writers write and retention deletes never finds anything.
#[test]
fn examined_while_at_work() {
    let mut site = Site::new();
    (site.segment_bytes, site.segment_seconds) = (20_000, 1);
    let site = &site;
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut archive = site.open();
            for n in 0..600u32 {
                site.at(1000 + n / 10);
                put_at(&mut archive, n, "s", &n.to_string());
                put_note(&mut archive, &(n % 50).to_string(), &format!("note {n}"));
                if n % 50 == 49 {
                    site.retain(Keep { bytes: Some(60_000), ..Keep::default() });
                }
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut looks = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) || looks < 3 {
            assert_eq!(found(site), []);
            looks += 1;
        }
    });
}
