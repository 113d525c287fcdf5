//! What a replay writes depends on its input alone: not on the number of workers, and not on how many records they take
//! at a time.

#![allow(clippy::unwrap_used)] // Functions that tests share stop the test, as tests do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use faultline_tests::replaying::{FILES, Replaying};
use faultline_tests::scenario::disorder::{Disorder, write_catalog};
use faultline_tests::scenario::orders;

/// Every number of workers with every size of batch.
const ALL: [(usize, usize); 9] =
    [(1, 1), (1, 7), (1, 10_000), (2, 1), (2, 7), (2, 10_000), (4, 1), (4, 7), (4, 10_000)];
/// Each number and each size once.
const EACH_ONCE: [(usize, usize); 3] = [(1, 1), (2, 7), (4, 10_000)];

/// Replays with each of these numbers of workers and sizes of batch, and compares every file byte by byte with those of
/// one worker. Returns the number of lines of each file.
fn same_bytes(replaying: &Replaying, ways: &[(usize, usize)]) -> [usize; 6] {
    let expected = replaying.run().unwrap().files().unwrap();
    for &(workers, batch) in ways {
        let run = Replaying { batch, ..replaying.clone().workers(workers) }.run().unwrap();
        for (file, bytes) in run.files().unwrap() {
            let expected = &expected[file];
            assert!(bytes == *expected, "{file}, {workers} workers, batches of {batch}: {}", first(&bytes, expected));
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

fn of_orders(files: &[&str]) -> Replaying {
    Replaying::of(orders::folder(), files.iter().map(|file| orders::folder().join(file)))
}

#[test]
fn orders() {
    let lines = same_bytes(&of_orders(&["input.jsonl"]), &EACH_ONCE);
    let [evidence, signals, incidents, explanations, graph, windows] = lines;
    assert_eq!((evidence, incidents, explanations, windows), (1_850, 1, 1, 3));
    assert!(signals >= 2 && graph > 10, "{lines:?}");
}

/// Ticks of five seconds hold many records of all partitions, and a replay takes its time for ticks.
#[test]
fn orders_in_long_ticks() {
    let mut replaying = of_orders(&["input.jsonl"]);
    replaying.config.tick_ms = 5_000;
    let lines = same_bytes(&replaying, &ALL);
    assert_eq!((lines[0], lines[2], lines[3]), (1_850, 1, 1), "{lines:?}");
}

#[test]
fn orders_with_spans() {
    let mut replaying = of_orders(&["input.jsonl", "spans.jsonl"]);
    replaying.config.tick_ms = 5_000;
    let lines = same_bytes(&replaying, &ALL);
    assert_eq!((lines[0], lines[2], lines[3]), (1_850, 1, 1), "{lines:?}");
}

#[test]
fn disorder() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, captures) = disordered(dir.path(), Disorder::default(), 1);
    let mut replaying = Replaying::of(catalog, captures);
    replaying.config.windows.grace_ms = 600_000;
    let lines = same_bytes(&replaying, &ALL);
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
