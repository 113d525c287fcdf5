//! The catalog as rows of the dataflow's collections.

use faultline_contracts::{
    asset::{Asset, AssetKind},
    catalog::Catalog,
    ids::EntityId,
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};
use faultline_operators::{
    graph::Producer,
    hypotheses::{CatalogChange, CatalogChangeKind},
};

use crate::topology::CatalogRows;

impl CatalogRows {
    /// The rows of a catalog.
    #[must_use]
    pub fn of(catalog: &Catalog) -> Self {
        let datasets = catalog.datasets().iter().map(|dataset| Asset {
            id: dataset.urn.clone(),
            kind: AssetKind::Dataset,
            name: dataset.title.clone(),
            tier: Some(dataset.tier),
            owner: dataset.owner.clone(),
        });
        let assets = catalog.assets().iter().map(|asset| Asset {
            id: asset.id.clone(),
            kind: asset.kind,
            name: asset.name.clone(),
            tier: asset.tier,
            owner: asset.owner.clone(),
        });
        let flows = catalog.assets().iter().flat_map(|asset| {
            asset.consumes.iter().map(|from| FlowEdge {
                from: from.clone(),
                to: asset.id.clone(),
                kind: FlowKind::ConsumedBy,
                since: UnixMillis(0),
            })
        });
        let producers = catalog
            .producers()
            .iter()
            .map(|producer| Producer { id: producer.id.clone(), team: producer.team.clone() });
        let changes = catalog.datasets().iter().filter_map(|dataset| {
            Some(CatalogChange {
                dataset: dataset.urn.clone(),
                at: dataset.contract_created?,
                now: EntityId::from(dataset.contract.as_deref()?),
                before: None,
                kind: CatalogChangeKind::Contract,
            })
        });
        Self {
            policies: catalog.policies(),
            assets: datasets.chain(assets).collect(),
            flows: flows.collect(),
            producers: producers.collect(),
            changes: changes.collect(),
        }
    }
}
