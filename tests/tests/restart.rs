//! Restarts in the middle of the orders incident: killed, stopped in good order, with another number of workers each time.
//! In the end every table holds what an undisturbed run leaves in it, and each record has its evidence.

#![allow(clippy::print_stdout, clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::path::Path;
use std::time::Duration;

use faultline_tests::place::{DATA, Place, snapshots_kept, wait_until};
use faultline_tests::program::faultline;
use faultline_tests::scenario::orders;

/// Over how long the incident's records are published.
const LOAD: Duration = Duration::from_secs(8);

fn newest(snapshots: &Path) -> Option<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(snapshots).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "snapshot"));
    files.into_iter().max()
}

#[test]
fn a_restart_with_any_number_of_workers_goes_on_where_it_was() {
    let envelopes = &orders::capture().unwrap();
    let offered = envelopes.iter().filter(|envelope| envelope.topic == DATA).count();

    let undisturbed = Place::new();
    let service = undisturbed.serve(2);
    undisturbed.kafka.publisher().publish_over(envelopes, LOAD / 4).unwrap();
    let expected = undisturbed.settled(None);
    assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    assert_eq!(undisturbed.evidence(), (offered, offered));

    let place = Place::new();
    let publisher = place.kafka.publisher();
    std::thread::scope(|threads| {
        let load = threads.spawn(|| publisher.publish_over(envelopes, LOAD).unwrap());
        // Killed between two snapshots.
        let service = place.serve(2);
        wait_until("a snapshot is kept under load", &service, || snapshots_kept(&service) >= 3);
        drop(service);
        let (before, _) = place.evidence();

        let service = place.serve(4);
        wait_until("a snapshot is kept", &service, || snapshots_kept(&service) >= 2);
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
        let log = std::fs::read_to_string(service.dir().join("faultline.log")).unwrap();
        assert!(log.contains("going on from a snapshot"), "{log}");
        let (all, different) = place.evidence();
        println!("killed at {before} pieces of evidence: {} made again", all - different);

        // In good order, nothing is read twice.
        let service = place.serve(1);
        wait_until("a snapshot is kept", &service, || snapshots_kept(&service) >= 1);
        let twice = all - different;
        load.join().unwrap();
        wait_until("all evidence is there", &service, || place.evidence().1 >= offered);
        let contents = place.settled(Some(&expected));
        expected.assert_same(&contents, "restarted");
        let (all, different) = place.evidence();
        println!(
            "offered {offered}, evidence {different}, duplicates {}, lost {}",
            all - different,
            offered - different
        );
        assert_eq!((different, all - different), (offered, twice), "a stop in good order doubles nothing");
        assert_eq!(service.terminate().unwrap().code(), Some(0), "{}", service.log_tail());
    });

    // What operators see of it, and a damaged one is passed over.
    let dir = place.snapshots();
    let dir = dir.to_str().unwrap();
    let listed = faultline(["snapshot", "ls", "--dir", dir], b"").unwrap();
    assert_eq!(listed.status.code(), Some(0));
    assert_eq!(String::from_utf8(listed.stdout).unwrap().lines().count(), 4, "a header and three snapshots");
    let inspected = faultline(["snapshot", "inspect", "--dir", dir], b"").unwrap();
    let text = String::from_utf8(inspected.stdout).unwrap();
    assert!(text.contains("raw.orders.events") && text.contains("workers  1"), "{text}");
    assert_eq!(faultline(["snapshot", "verify", "--dir", dir], b"").unwrap().status.code(), Some(0));

    let damaged = newest(&place.snapshots()).unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let verified = faultline(["snapshot", "verify", "--dir", dir], b"").unwrap();
    assert_eq!(verified.status.code(), Some(1));
    let service = place.serve(2);
    let log = std::fs::read_to_string(service.dir().join("faultline.log")).unwrap();
    assert!(log.contains("the one before it is taken") && log.contains("going on from a snapshot"), "{log}");
    let contents = place.settled(Some(&expected));
    expected.assert_same(&contents, "after a damaged snapshot");
}
