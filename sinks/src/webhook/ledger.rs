//! What receivers were told, in a database of its own (`webhooks.db` in the data folder), so that a restart tells nobody
//! anything twice. Without a folder it is kept in memory, and is gone with the process.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use faultline_contracts::{ids::IncidentId, time::UnixMillis};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::transition::Told;
use crate::SinkError;

/// Of the table below, in `PRAGMA user_version`. Raise it with each change of it, and of [`Told`].
const VERSION: i64 = 1;
/// `FLWH`, in `PRAGMA application_id`.
const APPLICATION: i64 = 0x464C_5748;
const TABLE: &str = "
CREATE TABLE told (
    receiver TEXT NOT NULL, incident_id TEXT NOT NULL, status TEXT NOT NULL, told TEXT NOT NULL, told_at TEXT NOT NULL,
    PRIMARY KEY (receiver, incident_id)
) STRICT;
";
/// How long what is over is remembered: longer than topics keep the records that it could be made from again.
const REMEMBER_MS: i64 = 90 * 86_400_000;
/// After how many writes what is too old is removed.
const WRITES_PER_SWEEP: u32 = 1_000;
/// How long a write waits for another receiver's.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What one receiver was told.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    receiver: String,
    connection: Connection,
    writes: u32,
}

impl Ledger {
    /// Opens the part of a receiver in the ledger at `path`, or one in memory.
    ///
    /// # Errors
    /// [`SinkError::ForeignStore`] where the file is a database of something else; [`SinkError::Sqlite`] where it cannot be
    /// opened.
    pub fn open(path: Option<&Path>, receiver: &str) -> Result<Self, SinkError> {
        let connection = match path {
            Some(path) => Connection::open(path),
            None => Connection::open_in_memory(),
        };
        let path = path.unwrap_or(Path::new(":memory:")).to_owned();
        let failed = |source| SinkError::Sqlite { action: "open", path: path.clone(), source };
        let mut connection = connection.map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        if let Some(found) = prepare(&mut connection).map_err(failed)? {
            return Err(SinkError::ForeignStore { path, found });
        }
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").map_err(failed)?;
        Ok(Self { path, receiver: receiver.to_owned(), connection, writes: 0 })
    }

    /// What the receiver was told of an incident.
    ///
    /// # Errors
    /// [`SinkError::Sqlite`].
    pub fn told(&self, incident: IncidentId) -> Result<Option<Told>, SinkError> {
        let failed = |source| SinkError::Sqlite { action: "read", path: self.path.clone(), source };
        let mut query = self
            .connection
            .prepare("SELECT told FROM told WHERE receiver = ?1 AND incident_id = ?2")
            .map_err(failed)?;
        let json: Option<String> =
            query.query_row((&self.receiver, incident.to_string()), |row| row.get(0)).optional().map_err(failed)?;
        json.map(|json| {
            serde_json::from_str(&json).map_err(|source| SinkError::Json { path: self.path.clone(), source })
        })
        .transpose()
    }

    /// Notes what the receiver knows from now on.
    ///
    /// # Errors
    /// [`SinkError::Sqlite`].
    pub fn note(&mut self, told: &Told, now: UnixMillis) -> Result<(), SinkError> {
        let failed = |source| SinkError::Sqlite { action: "write to", path: self.path.clone(), source };
        let json = serde_json::to_string(told).map_err(|source| SinkError::Json { path: self.path.clone(), source })?;
        let id = told.incident.id.to_string();
        self.connection
            .prepare(
                "INSERT INTO told (receiver, incident_id, status, told, told_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (receiver, incident_id) DO UPDATE SET status = excluded.status, told = excluded.told, \
                 told_at = excluded.told_at",
            )
            .and_then(|mut insert| {
                insert.execute((&self.receiver, id, told.incident.status.as_str(), json, now.to_string()))
            })
            .map_err(failed)?;
        if self.writes.is_multiple_of(WRITES_PER_SWEEP) {
            let before = now.plus(-REMEMBER_MS).to_string();
            self.connection
                .execute(
                    "DELETE FROM told WHERE receiver = ?1 AND status = 'RESOLVED' AND told_at < ?2",
                    (&self.receiver, before),
                )
                .map_err(failed)?;
        }
        self.writes = self.writes.wrapping_add(1);
        Ok(())
    }
}

/// Makes the table in an empty database. Returns what the database is where it is neither empty nor a ledger of this
/// version.
fn prepare(connection: &mut Connection) -> rusqlite::Result<Option<String>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |pragma| transaction.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let objects: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    let found = if objects == 0 {
        transaction.execute_batch(TABLE)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        None
    } else if application != APPLICATION {
        Some("it is a database of another application".to_owned())
    } else {
        (version != VERSION).then(|| format!("its table is of version {version}, this program's of version {VERSION}"))
    };
    transaction.commit()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use faultline_contracts::incident::{Incident, IncidentStatus};

    use super::*;
    use crate::webhook::{
        message::tests::incident,
        transition::{Now, Transition, after},
    };

    fn told(id: u64, status: IncidentStatus) -> Told {
        let incident = Incident { id: IncidentId(id), status, ..incident() };
        after(None, Now { incident: &incident, cause: Some("a"), retracted: false }, &[Transition::Opened])
    }

    #[test]
    fn what_was_told_outlives_the_process_for_each_receiver() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("webhooks.db");
        let open = |receiver| Ledger::open(Some(&path), receiver).unwrap();
        let (mut ops, dev) = (open("ops"), open("dev"));
        let (first, second) = (told(1, IncidentStatus::Open), told(1, IncidentStatus::Resolved));
        ops.note(&first, UnixMillis(1)).unwrap();
        ops.note(&second, UnixMillis(2)).unwrap();
        assert_eq!(dev.told(IncidentId(1)).unwrap(), None);
        drop((ops, dev));
        assert_eq!(open("ops").told(IncidentId(1)).unwrap(), Some(second));
        let mut memory = Ledger::open(None, "ops").unwrap();
        memory.note(&first, UnixMillis(1)).unwrap();
        assert_eq!(memory.told(IncidentId(1)).unwrap(), Some(first));
    }

    #[test]
    fn what_is_long_over_is_forgotten_and_what_is_open_is_not() {
        let mut ledger = Ledger::open(None, "ops").unwrap();
        ledger.note(&told(1, IncidentStatus::Resolved), UnixMillis(0)).unwrap();
        ledger.note(&told(2, IncidentStatus::Open), UnixMillis(0)).unwrap();
        ledger.writes = WRITES_PER_SWEEP;
        ledger.note(&told(3, IncidentStatus::Open), UnixMillis(REMEMBER_MS + 1)).unwrap();
        assert_eq!(ledger.told(IncidentId(1)).unwrap(), None);
        assert!(ledger.told(IncidentId(2)).unwrap().is_some());
    }

    #[test]
    fn another_database_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(Ledger::open(Some(&path), "ops"), Err(SinkError::ForeignStore { .. })));
    }
}
