//! What a replay writes depends on its input alone: not on the number of workers, and not on how many records they take
//! at a time.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use faultline_tests::replaying::{FILES, Replaying};
use faultline_tests::scenario::disorder::{Disorder, write_catalog};
use faultline_tests::scenario::orders;

/// Replays with each number of workers and each size of batch, and compares every file byte by byte. Returns the number
/// of lines of each.
fn same_bytes(replaying: &Replaying) -> [usize; 6] {
    let expected = replaying.run().unwrap().files().unwrap();
    for workers in [1, 2, 4] {
        for batch in [1, 7, 10_000] {
            let run = Replaying { batch, ..replaying.clone().workers(workers) }.run().unwrap();
            for (file, bytes) in run.files().unwrap() {
                let expected = &expected[file];
                assert!(
                    bytes == *expected,
                    "{file}, {workers} workers, batches of {batch}: {}",
                    first(&bytes, expected)
                );
            }
        }
    }
    FILES.map(|file| expected[file].split_inclusive(|&byte| byte == b'\n').count())
}

/// The first line that differs.
fn first(one: &[u8], other: &[u8]) -> String {
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let number = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    format!("line {}:\n{:?}\ninstead of\n{:?}", number + 1, one.get(number), other.get(number))
}

/// A disorder's catalog and capture, the capture cut into files as given, in a folder.
fn disordered(dir: &Path, disorder: Disorder, files: usize) -> (PathBuf, Vec<PathBuf>) {
    let catalog = dir.join("catalog");
    write_catalog(&catalog).unwrap();
    let lines = disorder.lines().unwrap();
    let captures = lines.chunks(lines.len().div_ceil(files)).enumerate().map(|(number, part)| {
        let path = dir.join(format!("part-{files}-{number}.jsonl"));
        fs::write(&path, part.join("\n")).unwrap();
        path
    });
    (catalog, captures.collect())
}

#[test]
fn orders() {
    let lines = same_bytes(&Replaying::of(orders::folder(), [orders::folder().join("input.jsonl")]));
    let [evidence, signals, incidents, explanations, graph, windows] = lines;
    assert_eq!((evidence, incidents, explanations, windows), (1_850, 1, 1, 3));
    assert!(signals >= 2 && graph > 10, "{lines:?}");
}

#[test]
fn orders_with_spans() {
    let inputs = ["input.jsonl", "spans.jsonl"].map(|file| orders::folder().join(file));
    let lines = same_bytes(&Replaying::of(orders::folder(), inputs));
    assert_eq!((lines[0], lines[2], lines[3]), (1_850, 1, 1), "{lines:?}");
}

#[test]
fn disorder() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, captures) = disordered(dir.path(), Disorder::default(), 1);
    let mut replaying = Replaying::of(catalog, captures);
    replaying.config.windows.grace_ms = 600_000;
    let lines = same_bytes(&replaying);
    assert!(lines.iter().all(|&lines| lines > 1), "{lines:?}");
}

#[test]
fn it_does_not_matter_into_how_many_files_a_capture_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let disorder = Disorder { seed: 5, clusters: 60, ..Disorder::default() };
    let runs: BTreeSet<_> = [1, 2, 7]
        .map(|files| {
            let (catalog, captures) = disordered(dir.path(), disorder, files);
            // Whoever lists the files may do so in any order.
            let run = Replaying::of(catalog, captures.into_iter().rev()).workers(2).run().unwrap();
            run.files().unwrap()
        })
        .into();
    assert_eq!(runs.len(), 1);
}
