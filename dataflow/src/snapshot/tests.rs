use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use faultline_operators::state::{Section, StateChunk};
use proptest::prelude::*;

use super::*;
use crate::metrics::Metrics;

const WINDOWS: WindowSettings = WindowSettings { width_ms: 300_000 };

fn chunks(bytes: &[u8]) -> Vec<StateChunk> {
    vec![
        StateChunk::from_bytes(Section::Positions, 2, bytes.to_vec()),
        StateChunk::from_bytes(Section::Windows, 1, vec![7; 100]),
        StateChunk::from_bytes(Section::Windows, 3, bytes.to_vec()),
    ]
}

fn snapshot(epoch: u64, bytes: &[u8]) -> Snapshot {
    let (program, catalog, sections) = ("0.1.0".to_owned(), "00ff".to_owned(), Vec::new());
    let header = Header { format: FORMAT, epoch, program, workers: 2, catalog, windows: WINDOWS, sections };
    Snapshot::new(header, chunks(bytes))
}

fn bytes_of(snapshot: &Snapshot) -> Vec<u8> {
    let mut all = Vec::new();
    snapshot
        .write(|bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    all
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read() {
    let written = snapshot(20, b"rows");
    let read = Snapshot::read(&bytes_of(&written), Path::new("s")).unwrap();
    assert_eq!(read.header, written.header);
    let rows = |section| -> Vec<u8> {
        let chunks = read.chunks.iter().filter(|chunk| chunk.section() == section);
        chunks.flat_map(|chunk| chunk.bytes().to_vec()).collect()
    };
    assert_eq!(rows(Section::Positions), b"rows");
    assert_eq!(rows(Section::Windows), [&[7; 100][..], b"rows"].concat());
    assert_eq!(rows(Section::Lineage), b"");
}

proptest! {
    /// A damaged snapshot is refused, wherever it is damaged, and never a panic.
    #[test]
    fn fuzz_a_damaged_snapshot_is_refused(at in any::<prop::sample::Index>(), flip in 1_u8.., cut in any::<bool>()) {
        let mut bytes = bytes_of(&snapshot(20, b"rows of state"));
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        let refused = Snapshot::read(&bytes, Path::new("s"));
        prop_assert!(matches!(refused, Err(SnapshotError::Damaged { .. })), "{refused:?}");
        bytes.extend_from_slice(b"more");
        prop_assert!(Snapshot::read(&bytes, Path::new("s")).is_err());
    }

    /// Anything may lie in the folder.
    #[test]
    fn fuzz_a_file_that_is_none_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"FLTSNAP\n".as_slice(), &bytes].concat();
        for bytes in [bytes, with_magic] {
            let refused = Snapshot::read(&bytes, Path::new("s"));
            prop_assert!(matches!(refused, Err(SnapshotError::Damaged { .. })), "{refused:?}");
        }
    }
}

#[test]
fn another_format_is_refused_by_its_number() {
    let mut later = snapshot(20, b"rows");
    later.header.format = FORMAT + 1;
    let refused = Snapshot::read(&bytes_of(&later), Path::new("s")).unwrap_err();
    assert!(matches!(refused, SnapshotError::Format { found, .. } if found == FORMAT + 1), "{refused}");
    assert!(refused.to_string().contains("--fresh"), "{refused}");
}

#[test]
fn the_newest_are_kept_and_what_was_half_written_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path().join("snapshots"), 2);
    assert!(folder.latest().unwrap().is_none(), "no folder, no snapshots");
    folder.open().unwrap();
    fs::write(folder.dir().join("00000000000000000005.snapshot.partial"), b"half").unwrap();
    fs::write(folder.dir().join("notes.txt"), b"not ours").unwrap();
    folder.open().unwrap();
    for epoch in [20, 40, 60] {
        folder.write(&snapshot(epoch, b"rows")).unwrap();
    }
    let kept = ["00000000000000000040.snapshot", "00000000000000000060.snapshot", "notes.txt"];
    assert_eq!(names(folder.dir()), kept);
    assert_eq!(folder.latest().unwrap().unwrap().header.epoch, 60);
    let entries = folder.entries().unwrap();
    assert_eq!(folder.header(&entries[1]).unwrap().epoch, 40);
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_one_of_another_format_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), 3);
    folder.write(&snapshot(20, b"rows")).unwrap();
    folder.write(&snapshot(40, b"rows")).unwrap();
    let newest = folder.entries().unwrap().remove(0).path;
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(folder.latest().unwrap().unwrap().header.epoch, 20);
    fs::write(&newest, b"").unwrap();
    assert_eq!(folder.latest().unwrap().unwrap().header.epoch, 20);
    let mut later = snapshot(40, b"rows");
    later.header.format = FORMAT + 1;
    folder.write(&later).unwrap();
    let refused = folder.latest().unwrap_err();
    assert!(matches!(refused, SnapshotError::Format { .. }), "going back in time unasked is worse: {refused}");
}

#[test]
fn a_folder_that_cannot_be_written_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let folder = Folder::new(dir.path(), 3);
    folder.write(&snapshot(20, b"rows")).unwrap();
    // A folder stands where the file is to be written: also for root, who may write anywhere.
    fs::create_dir(dir.path().join("00000000000000000040.snapshot.partial")).unwrap();
    let error = folder.write(&snapshot(40, b"rows")).unwrap_err();
    assert!(matches!(error, SnapshotError::File { action: "create", .. }), "{error}");
    assert_eq!(folder.latest().unwrap().unwrap().header.epoch, 20);
}

fn keeper(dir: &Path, every: Duration, acknowledged: &Arc<Acknowledged>, metrics: &Arc<Metrics>) -> Arc<Keeper> {
    let (folder, catalog) = (Folder::new(dir, 3), || "00ff".to_owned());
    Keeper::start(folder, every, WINDOWS, 1, catalog, Arc::clone(acknowledged), Arc::clone(metrics)).unwrap()
}

fn wait_for(what: &str, so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_snapshot_is_kept_once_all_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (acknowledged, metrics) = (Arc::new(Acknowledged::new(1, Vec::new())), Metrics::new());
    let keeper = keeper(dir.path(), Duration::from_millis(20), &acknowledged, &metrics);
    let begin = Instant::now();
    assert!(!keeper.begins(begin), "the first comes an interval after the start");
    assert!(keeper.begins(begin + Duration::from_millis(20)));
    assert!(!keeper.begins(begin + Duration::from_secs(9)), "one at a time");
    keeper.sink().cut(100, chunks(b"rows"));
    keeper.evidence_before(0, 100);
    let told = || metrics.health.states().iter().any(|state| state.trouble.is_some());
    wait_for("an overdue snapshot is told of", told);
    assert_eq!((keeper.covered(), names(dir.path()).len()), (0, 0), "evidence of epoch 100 is on its way");
    keeper.evidence_before(0, 101);
    wait_for("kept", || keeper.covered() == 100);
    wait_for("well again", || !told());
    wait_for("the next may begin", || keeper.begins(begin + Duration::from_secs(10)));
    keeper.sink().cut(200, chunks(b"rows"));
    keeper.stop();
    assert_eq!(keeper.covered(), 100, "what is not acknowledged at the end is not kept");
    assert_eq!(Folder::new(dir.path(), 3).latest().unwrap().unwrap().header.epoch, 100);
}

#[test]
fn a_folder_that_is_full_is_told_of_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (acknowledged, metrics) = (Arc::new(Acknowledged::new(1, Vec::new())), Metrics::new());
    acknowledged.evidence_before(0, u64::MAX);
    let keeper = keeper(dir.path(), Duration::from_millis(1), &acknowledged, &metrics);
    let stands_in_the_way = dir.path().join("00000000000000000100.snapshot.partial");
    fs::create_dir(&stands_in_the_way).unwrap();
    keeper.sink().cut(100, chunks(b"rows"));
    let told = || metrics.health.states().iter().any(|state| state.trouble.is_some());
    wait_for("told", told);
    assert_eq!(keeper.covered(), 0);
    keeper.sink().cut(120, chunks(b"rows"));
    wait_for("kept", || keeper.covered() == 120);
    wait_for("well again", || !told());
    keeper.stop();
}
