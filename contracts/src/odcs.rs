//! Data contracts in the Open Data Contract Standard, versions 3.0 and 3.1
//! (<https://bitol-io.github.io/open-data-contract-standard/>).
//!
//! [`parse`] reads a file into a [`Contract`] and finds all its mistakes, each with its line; [`compile`] reduces one
//! of its schema objects to the rules that a record can be held to, and says for every other rule why it cannot.
//!
//! Where the standard and its implementations leave room, this is the reading taken:
//! - A field of a record is a property's `physicalName`, else its `name`; a topic is a schema object's, likewise.
//! - A property that is not required may be absent or null, items of arrays included.
//! - A field that no property declares is allowed, unless the custom property `additionalProperties` is `false` on the
//!   contract, the schema object or the enclosing property.
//! - Several operators in one quality rule must all hold. `mustBeBetween` includes its ends.
//! - `severity` says who is to be told, not whether a record keeps the contract.
//! - A pattern is found anywhere in the text unless it is anchored, as ECMA-262 does.

mod compile;
mod coverage;
mod options;
mod pattern;
mod quality;
mod read;
mod schema;
mod sla;
mod stakeholders;

use std::sync::Arc;

pub use self::{
    compile::compile,
    coverage::{Coverage, RuleCoverage, sla_coverage},
    options::{Constraint, ConstraintKind},
    pattern::EcmaPattern,
    quality::{Metric, QualityCheck, QualityRule, Threshold},
    read::{Parsed, parse},
    schema::{LogicalType, Property, Relationship, SchemaObject},
    sla::{SlaKind, SlaProperty},
    stakeholders::{KafkaServer, SupportChannel, Team, TeamMember},
};
use crate::{diagnostic::Position, time::UnixMillis, yaml::Vocabulary};

/// What the engine uses of a data contract.
#[derive(Debug, Clone)]
pub struct Contract {
    /// `apiVersion`: the version of the standard, such as `v3.1.0`.
    pub api_version: Arc<str>,
    /// `id`: what `dc:<id>:<version>` names.
    pub id: Arc<str>,
    /// `version`, as written.
    pub version: Arc<str>,
    /// `status`, a free text such as `active`.
    pub status: Arc<str>,
    /// `contractCreatedTs`: since when this version is in force.
    pub created: Option<UnixMillis>,
    /// `name`, for people.
    pub name: Option<Arc<str>>,
    /// `domain`
    pub domain: Option<Arc<str>>,
    /// `description.purpose`
    pub purpose: Option<Arc<str>>,
    /// The custom property `tier`: 1 revenue-critical … 4.
    pub tier: Option<u8>,
    /// `schema`: what its data look like.
    pub objects: Vec<SchemaObject>,
    /// `slaProperties`
    pub sla: Vec<SlaProperty>,
    /// `team`
    pub team: Team,
    /// `support`
    pub support: Vec<SupportChannel>,
    /// `servers` of type `kafka`.
    pub servers: Vec<KafkaServer>,
    /// Where `id` stands.
    pub at: Position,
}

impl Contract {
    /// Who answers for it: the current member of the team whose role is owner, else the team.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.team.owner().or(self.team.name.as_ref())
    }

    /// The first number of its version: `3` of `3.2.0` and of `v3.2.0`.
    #[must_use]
    pub fn major(&self) -> &str {
        major(&self.version)
    }
}

/// The first number of a version.
pub(crate) fn major(version: &str) -> &str {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    version.split(['.', '-', '+']).next().unwrap_or(version)
}

/// The codes of the mistakes that any file can have.
const VOCABULARY: Vocabulary =
    Vocabulary { unknown_key: "odcs-unknown-key", missing_key: "odcs-missing-key", wrong_type: "odcs-wrong-type" };

#[cfg(test)]
mod tests;
