//! Blast radii that are maintained for as long as somebody watches them.

use faultline_operators::blast_radius::ReachQuery;

use crate::engine::StandingQueries;

/// Keeps a query standing while it is held.
pub trait Standing: Send + Sync {}

impl<T: Send + Sync> Standing for T {}

/// What maintains standing queries: the engine.
pub trait StandQueries: Send + Sync {
    /// Has a query maintained until the guard is dropped.
    fn stand(&self, query: ReachQuery) -> Box<dyn Standing>;
}

impl StandQueries for StandingQueries {
    fn stand(&self, query: ReachQuery) -> Box<dyn Standing> {
        Box::new(StandingQueries::stand(self, query))
    }
}
