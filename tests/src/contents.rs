//! What the stores hold, without what depends on when it was found out.

#![allow(clippy::unwrap_used)] // What tests share stops the test, as tests do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, types::ValueRef};
use serde_json::{Map, Value, json};

/// Fields that tell by the wall clock when something was found out, and change with each run.
const BY_THE_CLOCK: [&str; 6] = ["epoch", "detected_at", "opened_at", "since", "as_of", "retracted_at"];
const TABLES: [&str; 6] = ["signal_state", "incidents", "compliance_windows", "vertices", "edges", "explanations"];

/// The contents of all stores: each row, item, vertex or edge as its text, by where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents(BTreeMap<String, BTreeSet<String>>);

impl Contents {
    /// Adds the rows of one place.
    pub fn add(&mut self, place: &str, rows: impl IntoIterator<Item = Value>) {
        let rows = rows.into_iter().map(|row| timeless(row).to_string());
        self.0.entry(place.to_owned()).or_default().extend(rows);
    }

    /// Adds the tables of the embedded store.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn add_sqlite(&mut self, database: &Path) {
        let connection = Connection::open(database).unwrap();
        for table in TABLES {
            let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let rows = statement.query_map((), |row| {
                let cells = columns.iter().enumerate().map(|(at, name)| Ok((name.clone(), cell(row.get_ref(at)?))));
                Ok(Value::Object(cells.collect::<rusqlite::Result<Map<_, _>>>()?))
            });
            self.add(&format!("sqlite {table}"), rows.unwrap().map(Result::unwrap));
        }
    }

    /// Whether there is something everywhere.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.values().all(|rows| !rows.is_empty())
    }

    /// How many rows each place has.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        self.0.iter().map(|(place, rows)| (place.as_str(), rows.len())).collect()
    }

    /// Stops the test where other contents differ, and shows in what.
    ///
    /// # Panics
    /// They differ.
    pub fn assert_same(&self, other: &Self, what: &str) {
        for (place, rows) in &self.0 {
            let none = BTreeSet::new();
            let others = other.0.get(place).unwrap_or(&none);
            let missing: Vec<_> = rows.difference(others).take(3).collect();
            let unexpected: Vec<_> = others.difference(rows).take(3).collect();
            assert!(
                missing.is_empty() && unexpected.is_empty(),
                "{what}: {place} differs\nmissing: {missing:#?}\nunexpected: {unexpected:#?}"
            );
        }
    }
}

fn cell(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        ValueRef::Integer(integer) => json!(integer),
        ValueRef::Real(real) => json!(real),
        ValueRef::Text(text) => {
            let text = String::from_utf8_lossy(text);
            // Columns that hold JSON are compared as JSON.
            match serde_json::from_str(&text) {
                Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
                _ => Value::String(text.into_owned()),
            }
        }
    }
}

fn timeless(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(name, _)| !BY_THE_CLOCK.contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name, timeless(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(timeless).collect()),
        other => other,
    }
}
