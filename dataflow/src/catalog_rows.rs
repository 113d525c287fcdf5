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

#[cfg(test)]
mod tests {
    use faultline_contracts::catalog::CatalogFiles;

    use super::*;

    #[test]
    fn a_contract_with_a_date_is_a_change() {
        let catalog = "datasets:\n\
            \x20 - {urn: 'urn:dp:a:dated', topics: [a], contract: 'dc:dated:1'}\n\
            \x20 - {urn: 'urn:dp:a:dateless', topics: [b], contract: 'dc:dateless:1'}\n\
            \x20 - {urn: 'urn:dp:a:free', topics: [c]}\n";
        let contract = |id: &str, rest: &str| {
            format!(
                "apiVersion: v3.1.0\nkind: DataContract\nid: {id}\nversion: 1.0.0\nstatus: active\n{rest}schema: []\n"
            )
        };
        let (dated, dateless) =
            (contract("dated", "contractCreatedTs: 2023-10-27T09:50:00Z\n"), contract("dateless", ""));
        let files = [("catalog.yaml", catalog), ("a.odcs.yaml", &dated), ("b.odcs.yaml", &dateless)];
        let rows = CatalogRows::of(&Catalog::from_files(&CatalogFiles::of("memory", files)).catalog);
        assert_eq!(
            rows.changes,
            [CatalogChange {
                dataset: "urn:dp:a:dated".into(),
                at: UnixMillis(1_698_400_200_000),
                now: "dc:dated:1".into(),
                before: None,
                kind: CatalogChangeKind::Contract,
            }]
        );
    }
}
