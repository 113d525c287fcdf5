//! Hostile documents, read by us and by `serde_json`, judged by us and by the `jsonschema` crate: all must agree.
//!
//! Where they may differ, and it is asserted that they do for that reason:
//! - We follow 64 levels of nesting, `serde_json` 127.
//! - Numbers beyond 64-bit floats are numbers for us; `serde_json` refuses them.
//! - `departures` lists where the crate departs from the standards.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "hostile/arrays.rs"]
mod arrays;
#[path = "hostile/departures.rs"]
mod departures;
#[path = "hostile/exact.rs"]
mod exact;
#[path = "hostile/formats.rs"]
mod formats;
#[path = "hostile/judges.rs"]
mod judges;
#[path = "hostile/limits.rs"]
mod limits;
#[path = "hostile/names.rs"]
mod names;
#[path = "hostile/nesting.rs"]
mod nesting;
#[path = "hostile/number_keywords.rs"]
mod number_keywords;
#[path = "hostile/numbers.rs"]
mod numbers;
#[path = "hostile/patterns.rs"]
mod patterns;
#[path = "hostile/random.rs"]
mod random;
#[path = "hostile/records.rs"]
mod records;
#[path = "hostile/strings.rs"]
mod strings;
#[path = "hostile/syntax.rs"]
mod syntax;
#[path = "hostile/unicode.rs"]
mod unicode;

use std::cell::RefCell;

use departures::Departure;
use judges::{Judges, Tally};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// One schema a line: each keyword, alone and with others.
fn keyword_schemas() -> Vec<Value> {
    include_str!("hostile/schemas.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn all_schemas() -> Vec<Value> {
    [keyword_schemas(), records::example_schemas()].concat()
}

/// Compares documents under schemas, and says how it went.
fn compare<T: AsRef<[u8]>>(schemas: &[Value], documents: impl IntoIterator<Item = T>) -> Tally {
    let mut judges = Judges::new(schemas);
    documents.into_iter().for_each(|document| judges.compare(document.as_ref()));
    told(judges)
}

fn told(judges: Judges) -> Tally {
    println!("{} documents: {:?}", judges.tally.documents(), judges.tally);
    judges.tally
}

#[test]
fn numbers_of_all_sizes() {
    let tally = compare(&all_schemas(), numbers::numbers());
    assert_eq!((tally.refused_by_both, tally.departures()), (0, vec![Departure::RoundsNumbers]));
    assert!(tally.too_large_for_them > 10 && tally.valid > 10_000 && tally.invalid > 10_000, "{tally:?}");
}

#[test]
fn what_only_looks_like_a_number() {
    let wrapped = |text: String| [text.clone(), format!("[{text}]"), format!("{{\"a\":{text}}}"), format!(" {text} ")];
    let documents: Vec<String> = numbers::not_numbers().into_iter().flat_map(wrapped).collect();
    assert_eq!(compare(&[], &documents).refused_by_both, documents.len());
}

#[test]
fn numbers_that_end_at_all_places_of_a_word() {
    let mut judges = Judges::new(&[json!({"type": "integer"}), json!({"maximum": 1_000_000})]);
    numbers::at_word_borders(|document| judges.compare(document));
    let tally = told(judges);
    assert!(tally.read_by_both > 1_000 && tally.refused_by_both > 10_000, "{tally:?}");
}

#[test]
fn strings_and_their_escapes() {
    let strings =
        [strings::escapes(), strings::runs(), strings::raw_characters(), strings::lengths(), strings::words()].concat();
    let tally = compare(&all_schemas(), &strings);
    assert!(tally.read_by_both > 1_000 && tally.refused_by_both > 1_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn strings_that_end_at_all_places_of_a_word() {
    let mut judges = Judges::new(&[json!({"maxLength": 40}), json!({"pattern": "[^ab]"})]);
    strings::at_word_borders(|document| judges.compare(document));
    let tally = told(judges);
    assert!(tally.read_by_both > 20_000 && tally.refused_by_both > 20_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn bytes_that_are_no_unicode() {
    let about_strings = |schema: &Value| schema.get("pattern").is_some() || schema.get("maxLength").is_some();
    let schemas: Vec<Value> = keyword_schemas().into_iter().filter(about_strings).collect();
    let tally = compare(&schemas, unicode::documents());
    assert!(tally.read_by_both > 1_000 && tally.refused_by_both > 50_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn syntax_of_other_formats() {
    let tally = compare(&all_schemas(), syntax::documents());
    assert!(tally.read_by_both > 100 && tally.refused_by_both > 5_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn nesting_up_to_the_limits() {
    let tally = compare(&all_schemas(), nesting::documents(130));
    assert!(tally.read_by_both > 1_000 && tally.refused_by_both > 1_000 && tally.too_deep_for_us > 1_000, "{tally:?}");
    assert!(tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn names_twice_and_in_other_words() {
    let documents = names::duplicates();
    let tally = compare(&all_schemas(), &documents);
    assert_eq!((tally.read_by_both, tally.departures()), (documents.len(), Vec::new()));
}

#[test]
fn names_that_are_long_and_alike() {
    let tally = compare(&[names::long_names_schema()], names::long_names());
    assert!(tally.valid > 500 && tally.invalid > 10_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn items_that_are_equal_in_other_words() {
    let documents = [arrays::alike(), arrays::big()].concat();
    let tally = compare(&all_schemas(), &documents);
    assert_eq!((tally.read_by_both, tally.departures()), (documents.len(), Vec::new()));
}

#[test]
fn records_with_a_byte_changed() {
    let mut judges = Judges::new(&records::example_schemas());
    for record in records::records() {
        records::damaged(record.as_bytes(), |bytes| judges.compare(bytes));
    }
    let tally = told(judges);
    assert!(tally.valid > 10_000 && tally.refused_by_both > 100_000 && tally.departures.is_empty(), "{tally:?}");
}

#[test]
fn records_with_a_hostile_value_at_each_place() {
    let values = [numbers::numbers(), strings::words(), strings::escapes(), strings::lengths()].concat();
    let values = values.iter().filter(|value| value.len() < 1_100).map(String::as_str);
    let values = values.chain(["null", "true", "[]", "{}", "[{}]", "{\"lat\":1}", "{\"id\":\"\"}", "[1,\"x\",null]"]);
    let mut judges = Judges::new(&records::example_schemas());
    for value in values {
        for record in records::records() {
            records::with_value(record, value).iter().for_each(|document| judges.compare(document.as_bytes()));
        }
    }
    for value in ["null", "1", "\"x\"", "{}", "[]", "1e400"] {
        for record in records::records() {
            let twice = records::with_member_twice(record, names::spellings, value);
            twice.iter().for_each(|document| judges.compare(document.as_bytes()));
        }
    }
    let tally = told(judges);
    assert_eq!(tally.departures(), [Departure::RoundsNumbers]);
    assert!(tally.valid > 10_000 && tally.invalid > 100_000, "{tally:?}");
}

#[test]
fn documents_by_chance() {
    let judges = RefCell::new(Judges::new(&all_schemas()));
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&random::document(), |text| {
        judges.borrow_mut().compare(text.as_bytes());
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let tally = told(judges.into_inner());
    assert!(tally.read_by_both > 2_000 && tally.refused_by_both > 100, "{tally:?}");
}
