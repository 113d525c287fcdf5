//! The embedded state store: one SQLite file that people open with what they have.
//!
//! Each table's columns are the fields of the JSON that files and other stores get, so `signal_state` has the columns of
//! the DynamoDB item. Every row has the `epoch` it was written at, and no write takes a row back to an older one.
//! A deleted row leaves nothing behind to compare with: a replay may write it once more, and deletes it again.

mod rows;
mod schema;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior, types::Value};

use self::schema::Table;
use crate::{
    SinkError,
    store::{Applied, Outcome as Applying, StateStore, StoreChange, StoreKey},
};

/// How long a write waits for a reader or writer of another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// An open store.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: Connection,
}

impl SqliteStore {
    /// Opens the store at `path`, or makes one where there is none.
    ///
    /// # Errors
    /// [`SinkError::ForeignStore`] where the file is a database of something else or of another version of the program,
    /// which it then leaves as it is; [`SinkError::Sqlite`] where it cannot be opened or is no database.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SinkError> {
        let path = path.into();
        let failed = |source| SinkError::Sqlite { action: "open", path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if let Some(found) = schema::prepare(&transaction).map_err(failed)? {
            return Err(SinkError::ForeignStore { path, found });
        }
        transaction.commit().map_err(failed)?;
        // Readers do not block the writer, and what `apply` reported outlives a power failure.
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").map_err(failed)?;
        Ok(Self { path, connection })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stores the changes in their order, all or none.
    ///
    /// # Errors
    /// [`SinkError::Sqlite`] and [`SinkError::Range`]; the store is then as it was before.
    pub fn apply(&mut self, changes: &[StoreChange]) -> Result<Applied, SinkError> {
        let Self { path, connection } = self;
        let failed = |source| SinkError::Sqlite { action: "write to", path: path.clone(), source };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut applied = Applied::default();
        let mut statements = Statements::new(&transaction);
        for change in changes {
            let number = change.epoch();
            let epoch = i64::try_from(number).map_err(|_| SinkError::Range { path: path.clone(), number })?;
            let outcome = match change {
                StoreChange::Upsert { item, .. } => {
                    let (table, json) = rows::row(item);
                    statements.upsert(table, json, epoch).map_err(failed)?
                }
                StoreChange::Delete { key, .. } => {
                    let (table, key) = rows::key(key);
                    statements.delete(table, key, epoch).map_err(failed)?
                }
            };
            match outcome {
                Outcome::Written => applied.written += 1,
                Outcome::Stale => applied.stale += 1,
                Outcome::Absent => applied.absent += 1,
            }
        }
        drop(statements);
        transaction.commit().map_err(failed)?;
        Ok(applied)
    }
}

impl StateStore for SqliteStore {
    fn holds(_key: &StoreKey) -> bool {
        true
    }

    fn apply(&mut self, changes: Vec<StoreChange>) -> Applying {
        match Self::apply(self, &changes) {
            Ok(applied) => Applying { applied, ..Applying::default() },
            Err(error) => Applying { left: changes, error: Some(error), ..Applying::default() },
        }
    }

    fn probe(&mut self) -> Result<(), SinkError> {
        let failed = |source| SinkError::Sqlite { action: "read", path: self.path.clone(), source };
        self.connection.query_row("SELECT 1", (), |_| Ok(())).map_err(failed)
    }
}

enum Outcome {
    Written,
    Stale,
    Absent,
}

/// The prepared statements of one transaction.
struct Statements<'t> {
    transaction: &'t Transaction<'t>,
    upserts: [Option<Statement<'t>>; Table::COUNT],
    deletes: [Option<Statement<'t>>; Table::COUNT],
}

impl<'t> Statements<'t> {
    fn new(transaction: &'t Transaction<'t>) -> Self {
        Self { transaction, upserts: Default::default(), deletes: Default::default() }
    }

    fn upsert(&mut self, table: Table, json: String, epoch: i64) -> rusqlite::Result<Outcome> {
        let statement = match &mut self.upserts[table as usize] {
            Some(statement) => statement,
            empty => empty.insert(self.transaction.prepare(&table.upsert())?),
        };
        let rows = statement.execute((json, epoch))?;
        Ok(if rows == 0 { Outcome::Stale } else { Outcome::Written })
    }

    fn delete(&mut self, table: Table, key: Vec<Value>, epoch: i64) -> rusqlite::Result<Outcome> {
        let statement = match &mut self.deletes[table as usize] {
            Some(statement) => statement,
            empty => empty.insert(self.transaction.prepare(&table.delete())?),
        };
        let parameters = key.iter().cloned().chain([Value::Integer(epoch)]);
        if statement.execute(rusqlite::params_from_iter(parameters))? > 0 {
            return Ok(Outcome::Written);
        }
        let found = self.transaction.prepare(&table.exists())?.exists(rusqlite::params_from_iter(key))?;
        Ok(if found { Outcome::Stale } else { Outcome::Absent })
    }
}

#[cfg(test)]
mod tests;
