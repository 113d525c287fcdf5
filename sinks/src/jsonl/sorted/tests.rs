use proptest::prelude::*;

use super::*;

/// What comes out when every line goes to the worker that it names.
fn sorted(lines: &[(usize, Vec<u8>, String)], workers: usize, memory: usize) -> (String, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let parts = SortedParts::of(&path).with_memory(memory);
    let mut parts: Vec<_> = (0..workers).map(|worker| parts.part(worker).unwrap()).collect();
    for (worker, key, line) in lines {
        parts[worker % workers].push(key, line.as_bytes()).unwrap();
    }
    let count = merge(parts, &path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "parts are removed");
    (text, count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against a plain sort of everything; small keys, so that equal ones are common.
    #[test]
    fn the_file_is_a_function_of_the_lines_alone(
        lines in prop::collection::vec((0_usize..4, prop::collection::vec(0_u8..3, 0..3), "[a-c]{0,3}"), 0..60),
        workers in 1_usize..5,
        memory in 1_usize..400,
    ) {
        let mut expected: Vec<_> = lines.iter().map(|(_, key, line)| (key, line)).collect();
        expected.sort();
        let expected: String = expected.into_iter().map(|(_, line)| format!("{line}\n")).collect();
        let (text, count) = sorted(&lines, workers, memory);
        prop_assert_eq!(text, expected);
        prop_assert_eq!(count, lines.len() as u64);
    }
}

#[test]
fn lines_in_order_make_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let parts = SortedParts::of(folder.path().join("out.jsonl")).with_memory(100);
    let mut part = parts.part(0).unwrap();
    for number in 0..1_000_u128 {
        part.push(&number.to_be_bytes(), b"{}").unwrap();
    }
    assert_eq!(part.runs.len(), 1);
    part.push(&0_u128.to_be_bytes(), b"{}").unwrap();
    part.spill().unwrap();
    assert_eq!(part.runs.len(), 2, "what comes too late starts another");
}

#[test]
fn no_lines_make_an_empty_file() {
    assert_eq!(sorted(&[], 3, 100), (String::new(), 0));
}

#[test]
fn a_line_end_inside_a_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = SortedParts::of(folder.path().join("out.jsonl")).part(0).unwrap();
    assert!(matches!(part.push(b"k", b"a\nb"), Err(SinkError::LineEnd { .. })));
}

#[test]
fn a_part_that_is_dropped_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = SortedParts::of(folder.path().join("out.jsonl")).with_memory(1).part(0).unwrap();
    part.push(b"k", b"{}").unwrap();
    drop(part);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_part_with_a_failed_write_is_not_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    std::os::unix::fs::symlink("/dev/full", folder.path().join("out.jsonl.part-0")).unwrap();
    let mut part = SortedParts::of(&path).with_memory(1).part(0).unwrap();
    let long = vec![b'x'; 1024 * 1024];
    assert!(matches!(part.push(b"k", &long), Err(SinkError::File { .. })));
    assert!(matches!(merge(vec![part], &path), Err(SinkError::File { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
