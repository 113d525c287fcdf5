//! Tables and the statements that write them.

use rusqlite::Transaction;

/// Of the tables below, in `PRAGMA user_version`. Raise it with each change of them.
const VERSION: i64 = 1;
/// `FLTL`, in `PRAGMA application_id`: tells a store from any other database.
const APPLICATION: i64 = 0x464C_544C;

const TABLES: &str = "
CREATE TABLE signal_state (
    PK TEXT NOT NULL, SK TEXT NOT NULL, state TEXT NOT NULL, score REAL, breach_start TEXT, failure_signature TEXT,
    window_start TEXT NOT NULL, window_end TEXT NOT NULL, pass INTEGER NOT NULL, fail INTEGER NOT NULL,
    warn INTEGER NOT NULL, first_failure TEXT, detected_at TEXT, epoch INTEGER NOT NULL,
    PRIMARY KEY (PK, SK)
) STRICT;
CREATE TABLE incidents (
    id TEXT PRIMARY KEY, severity TEXT NOT NULL, title TEXT NOT NULL, status TEXT NOT NULL, dataset_urn TEXT NOT NULL,
    signal TEXT NOT NULL, opened_at TEXT NOT NULL, resolved_at TEXT, primary_trace_id TEXT,
    failure_signature TEXT NOT NULL, evidence_count INTEGER NOT NULL, parent_incident_id TEXT,
    json TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;
CREATE INDEX incidents_by_time ON incidents (opened_at);
CREATE TABLE compliance_windows (
    dataset_urn TEXT NOT NULL, window_start TEXT NOT NULL, window_end TEXT NOT NULL, pass INTEGER NOT NULL,
    fail INTEGER NOT NULL, warn INTEGER NOT NULL, status TEXT NOT NULL, by_signature TEXT NOT NULL,
    by_producer TEXT NOT NULL, epoch INTEGER NOT NULL,
    PRIMARY KEY (dataset_urn, window_start)
) STRICT;
CREATE TABLE vertices (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, properties TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;
CREATE TABLE edges (
    id TEXT PRIMARY KEY, from_id TEXT NOT NULL, to_id TEXT NOT NULL, label TEXT NOT NULL, since TEXT NOT NULL,
    epoch INTEGER NOT NULL, confidence REAL
) STRICT;
CREATE INDEX edges_from ON edges (from_id);
CREATE INDEX edges_to ON edges (to_id);
CREATE TABLE explanations (
    incident_id TEXT PRIMARY KEY, json TEXT NOT NULL, epoch INTEGER NOT NULL
) STRICT;
";

/// Makes the tables in an empty database. Returns what the database is where it is neither empty nor a store of this
/// version.
pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if objects == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        return Ok(None);
    }
    Ok(if application != APPLICATION {
        Some("it is a database of another application".to_owned())
    } else if version != VERSION {
        Some(format!("its tables are of version {version}, this program's of version {VERSION}"))
    } else {
        None
    })
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    Signals,
    Incidents,
    Windows,
    Vertices,
    Edges,
    Explanations,
}

impl Table {
    pub(super) const COUNT: usize = 6;

    fn name(self) -> &'static str {
        match self {
            Self::Signals => "signal_state",
            Self::Incidents => "incidents",
            Self::Windows => "compliance_windows",
            Self::Vertices => "vertices",
            Self::Edges => "edges",
            Self::Explanations => "explanations",
        }
    }

    fn key(self) -> &'static [&'static str] {
        match self {
            Self::Signals => &["PK", "SK"],
            Self::Windows => &["dataset_urn", "window_start"],
            Self::Incidents | Self::Vertices | Self::Edges => &["id"],
            Self::Explanations => &["incident_id"],
        }
    }

    /// Columns that are the fields of the same name in the item's JSON.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Signals => &[
                "PK",
                "SK",
                "state",
                "score",
                "breach_start",
                "failure_signature",
                "window_start",
                "window_end",
                "pass",
                "fail",
                "warn",
                "first_failure",
                "detected_at",
            ],
            Self::Incidents => &[
                "id",
                "severity",
                "title",
                "status",
                "dataset_urn",
                "signal",
                "opened_at",
                "resolved_at",
                "primary_trace_id",
                "failure_signature",
                "evidence_count",
                "parent_incident_id",
                "json",
            ],
            Self::Windows => &[
                "dataset_urn",
                "window_start",
                "window_end",
                "pass",
                "fail",
                "warn",
                "status",
                "by_signature",
                "by_producer",
            ],
            Self::Vertices => &["id", "label", "properties"],
            Self::Edges => &["id", "from_id", "to_id", "label", "since", "confidence"],
            Self::Explanations => &["incident_id", "json"],
        }
    }

    /// Parameters: the item's JSON, epoch. Changes no row where a newer epoch is stored.
    pub(super) fn upsert(self) -> String {
        let table = self.name();
        let columns = self.fields().join(", ");
        let values: String = self.fields().iter().map(|field| format!("?1 ->> '$.{field}', ")).collect();
        let updates: String = self.fields().iter().map(|field| format!("{field} = excluded.{field}, ")).collect();
        let key = self.key().join(", ");
        format!(
            "INSERT INTO {table} ({columns}, epoch) VALUES ({values}?2) \
             ON CONFLICT ({key}) DO UPDATE SET {updates}epoch = excluded.epoch WHERE {table}.epoch <= excluded.epoch"
        )
    }

    /// Parameters: the key's columns, epoch. Deletes no row where a newer epoch is stored.
    pub(super) fn delete(self) -> String {
        let epoch = self.key().len() + 1;
        format!("DELETE FROM {} WHERE {} AND epoch <= ?{epoch}", self.name(), self.by_key())
    }

    /// Parameters: the key's columns.
    pub(super) fn exists(self) -> String {
        format!("SELECT 1 FROM {} WHERE {}", self.name(), self.by_key())
    }

    fn by_key(self) -> String {
        let terms: Vec<_> =
            self.key().iter().enumerate().map(|(place, column)| format!("{column} = ?{}", place + 1)).collect();
        terms.join(" AND ")
    }
}
