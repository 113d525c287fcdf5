//! The catalog in force, as answers and the status see it.

use std::sync::{Arc, PoisonError, RwLock};

use faultline_contracts::{catalog::Catalog, time::UnixMillis};

/// The catalog in force, shared by all who read it. Reading costs a lock that is held for the time of a copied pointer.
#[derive(Debug)]
pub struct CatalogInForce {
    state: RwLock<Arc<CatalogState>>,
}

/// The catalog at one moment.
#[derive(Debug, Clone, Default)]
pub struct CatalogState {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Since when it has been in force: the epoch of its switch. `None` for the catalog of the start.
    pub since: Option<UnixMillis>,
    /// What is wrong with its files, as compilers say it, file and line first. What is held back comes first.
    pub problems: Vec<String>,
    /// How many of the problems keep a change of the files out of force.
    pub held: usize,
    /// Where it comes from: a directory or a topic.
    pub source: String,
}

impl CatalogInForce {
    /// A catalog with what is wrong with it.
    #[must_use]
    pub fn new(state: CatalogState) -> Arc<Self> {
        Arc::new(Self { state: RwLock::new(Arc::new(state)) })
    }

    /// A catalog that nobody changes.
    #[must_use]
    pub fn fixed(catalog: Arc<Catalog>) -> Arc<Self> {
        Self::new(CatalogState { catalog, ..CatalogState::default() })
    }

    /// The catalog now.
    #[must_use]
    pub fn read(&self) -> Arc<CatalogState> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that all workers have had this catalog since an epoch.
    pub(super) fn switched(&self, catalog: Arc<Catalog>, since: UnixMillis) {
        self.change(|state| (state.catalog, state.since) = (catalog, Some(since)));
    }

    /// Notes what is wrong now; the first `held` of the problems keep a change out of force.
    pub(super) fn found(&self, problems: Vec<String>, held: usize) {
        self.change(|state| (state.problems, state.held) = (problems, held));
    }

    fn change(&self, change: impl FnOnce(&mut CatalogState)) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut state));
    }
}
