//! Schema registries, as the intake sees them.

use std::sync::Arc;

use faultline_contracts::registry::{RegisteredSchema, RegisteredSchemaError, SchemaId};

mod cache;
mod confluent;
mod error;
mod glue;
mod http;
mod registries;
mod table;

pub use registries::{Registries, RegistriesError};

/// What is known of a schema id just now.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// The registry has it. That stays so: what an id stands for does not change, so a caller may keep it.
    Known(Arc<RegisteredSchema>),
    /// The registry has it, and no record can be judged by it. That stays so as well.
    Broken(Arc<RegisteredSchemaError>),
    /// It is being looked up. Whoever is subscribed is told when that has settled.
    Pending,
    /// The registry says that it has no such id. It may have one later: this is for the record at hand alone.
    Unknown,
    /// The registry does not answer. This is for the record at hand alone.
    Unavailable,
}

/// Where schemas come from.
pub trait SchemaSource: Send + Sync {
    /// What is known of an id. Never blocks; starts a look-up where one is due. A look-up that was told as
    /// [`Lookup::Pending`] settles in bounded time, at the latest as [`Lookup::Unavailable`], and this then says so
    /// for at least as long as the workers need to ask again.
    fn lookup(&self, id: SchemaId) -> Lookup;

    /// As [`SchemaSource::lookup`], and blocks until it has settled: never [`Lookup::Pending`].
    fn wait(&self, id: SchemaId) -> Lookup;

    /// Has `wake` called after each look-up that has settled. Called from any thread; `wake` is quick and does not block.
    fn subscribe(&self, wake: Arc<dyn Fn() + Send + Sync>);
}
