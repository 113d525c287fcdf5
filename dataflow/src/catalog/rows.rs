//! The catalog as rows of the dataflow's collections, and what another catalog changes of them.

use std::collections::{BTreeMap, BTreeSet};

use faultline_contracts::{
    asset::{Asset, AssetKind},
    catalog::{Catalog, DatasetEntry},
    ids::EntityId,
    lineage::{FlowEdge, FlowKind},
    time::UnixMillis,
};
use faultline_operators::{
    graph::Producer,
    hypotheses::{CatalogChange, CatalogChangeKind},
};

use crate::topology::CatalogRows;

/// How many changes of one dataset's contract, and of its schema, are remembered as possible causes.
const CHANGES_REMEMBERED: usize = 8;

/// What leaves the dataflow's collections and what comes into them.
#[derive(Debug, Clone, Default)]
pub struct CatalogRowChanges {
    /// Rows that leave.
    pub left: CatalogRows,
    /// Rows that come.
    pub came: CatalogRows,
}

impl CatalogRowChanges {
    /// From the rows of one catalog to those of another.
    #[must_use]
    pub fn between(before: &CatalogRows, after: &CatalogRows) -> Self {
        Self { left: before.without(after), came: after.without(before) }
    }
}

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

    /// The rows of the catalog that follows this one. Contracts and schemas that are others now have come into force `at`,
    /// whatever date they have: from then on records are held to them. Earlier changes of datasets that are still there
    /// stay, the latest few of each.
    #[must_use]
    pub fn succeeded_by(&self, before: &Catalog, after: &Catalog, at: UnixMillis) -> Self {
        let stays = |change: &&CatalogChange| after.dataset(change.dataset.as_str()).is_some();
        let known = self.changes.iter().filter(stays).cloned();
        let new = after.datasets().iter().flat_map(|dataset| {
            let old = before.dataset(dataset.urn.as_str()).map(|old| &**old);
            contract_change(old, dataset, at).into_iter().chain(schema_change(old, dataset, at))
        });
        let mut by_subject = BTreeMap::<_, BTreeSet<(UnixMillis, CatalogChange)>>::new();
        for change in known.chain(new) {
            let changes = by_subject.entry((change.dataset.clone(), change.kind)).or_default();
            changes.insert((change.at, change));
            if changes.len() > CHANGES_REMEMBERED {
                changes.pop_first();
            }
        }
        let changes = by_subject.into_values().flatten().map(|(_, change)| change).collect();
        Self { changes, ..Self::of(after) }
    }

    /// The rows that others do not have.
    fn without(&self, others: &Self) -> Self {
        fn without<T: Ord + Clone>(rows: &[T], others: &[T]) -> Vec<T> {
            let others: BTreeSet<&T> = others.iter().collect();
            rows.iter().filter(|row| !others.contains(row)).cloned().collect()
        }
        let Self { policies, assets, flows, producers, changes } = self;
        Self {
            policies: without(policies, &others.policies),
            assets: without(assets, &others.assets),
            flows: without(flows, &others.flows),
            producers: without(producers, &others.producers),
            changes: without(changes, &others.changes),
        }
    }
}

/// The change of a dataset's contract, if it is another one now. One version is told from another by what the catalog
/// calls them, and by their whole versions where it calls both the same.
fn contract_change(before: Option<&DatasetEntry>, after: &DatasetEntry, at: UnixMillis) -> Option<CatalogChange> {
    let now = after.contract.as_deref()?;
    let identity =
        |dataset: &DatasetEntry| (dataset.contract.clone(), dataset.contract_version.clone(), dataset.contract_hash);
    if before.map(identity) == Some(identity(after)) {
        return None;
    }
    let was = before.and_then(|before| Some((before.contract.as_deref()?, before.contract_version.as_deref())));
    let (now, before) = match (was, after.contract_version.as_deref()) {
        (None, _) => (now.into(), None),
        (Some((was, _)), _) if was != now => (now.into(), Some(was.into())),
        (Some((was, Some(old))), Some(new)) if old != new => (whole(now, new), Some(whole(was, old))),
        // Edited under its old version.
        (Some(_), _) => (now.into(), None),
    };
    Some(CatalogChange { dataset: after.urn.clone(), at, now, before, kind: CatalogChangeKind::Contract })
}

/// `dc:orders.created:3` with its whole version: `dc:orders.created:3.2.0`.
fn whole(reference: &str, version: &str) -> EntityId {
    let id = reference.rsplit_once(':').map_or(reference, |(id, _)| id);
    EntityId::from(&*format!("{id}:{version}"))
}

/// The change of a dataset's schema, if it is another one now.
fn schema_change(before: Option<&DatasetEntry>, after: &DatasetEntry, at: UnixMillis) -> Option<CatalogChange> {
    let now = after.schema.as_deref()?;
    let identity = |dataset: &DatasetEntry| (dataset.schema.clone(), dataset.schema_hash);
    if before.map(identity) == Some(identity(after)) {
        return None;
    }
    let was = before.and_then(|before| before.schema.as_deref()).filter(|was| *was != now);
    let (dataset, now, before) = (after.urn.clone(), now.into(), was.map(EntityId::from));
    Some(CatalogChange { dataset, at, now, before, kind: CatalogChangeKind::Schema })
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
    fn load(files: &[(&str, &str)]) -> Catalog {
        Catalog::from_files(&CatalogFiles::of("memory", files.iter().copied())).catalog
    }

    const A: &str = "datasets:\n\
        \x20 - {urn: 'urn:dp:a', topics: [a], contract: 'dc:a:1', schema: 'file:a.json', tier: 1}\n\
        \x20 - {urn: 'urn:dp:b', topics: [b]}\n\
        assets: [{id: 'dashboard:d', kind: DASHBOARD, consumes: ['urn:dp:a']}]\n\
        producers: [{id: p}]\n";

    fn contract(version: &str, rest: &str) -> String {
        format!("apiVersion: v3.1.0\nkind: DataContract\nid: a\nversion: {version}\nstatus: active\n{rest}schema: []\n")
    }

    #[test]
    fn another_contract_or_schema_has_come_into_force_at_the_switch() {
        let created = "contractCreatedTs: 2023-10-27T09:50:00Z\n";
        let catalog = |entry: &str, version, rest, schema| {
            load(&[
                ("catalog.yaml", &A.replace("dc:a:1", entry)),
                ("a.yaml", &contract(version, rest)),
                ("a.json", schema),
            ])
        };
        let at = UnixMillis;
        let first = catalog("dc:a:1", "1.0.0", created, "{}");
        let steps = [
            catalog("dc:a:1", "1.1.0", created, "{}"),
            catalog("dc:a:1", "1.1.0", "dataProduct: edited\n", "{}"),
            catalog("dc:a:2", "2.0.0", created, "{}"),
            catalog("dc:a:2", "2.0.0", created, "{\"type\": \"object\"}"),
        ];
        let mut rows = CatalogRows::of(&first);
        let mut before = &first;
        for (step, after) in (1..).zip(&steps) {
            rows = rows.succeeded_by(before, after, at(step));
            before = after;
        }
        let told: Vec<_> = rows
            .changes
            .iter()
            .map(|change| (change.at, change.kind, change.now.as_str(), change.before.as_ref().map(EntityId::as_str)))
            .collect();
        let contract = CatalogChangeKind::Contract;
        let mut expected = vec![
            (at(1_698_400_200_000), contract, "dc:a:1", None),
            (at(1), contract, "dc:a:1.1.0", Some("dc:a:1.0.0")),
            (at(2), contract, "dc:a:1", None),
            (at(3), contract, "dc:a:2", Some("dc:a:1")),
            (at(4), CatalogChangeKind::Schema, "file:a.json", None),
        ];
        expected.sort_by_key(|(at, kind, ..)| (*kind, *at));
        assert_eq!(told, expected, "the first by the date that it has, the others by when they were seen");
        let same = rows.succeeded_by(before, before, at(9));
        assert_eq!(same.changes, rows.changes);
    }

    #[test]
    fn changes_are_bounded_and_leave_with_their_dataset() {
        let catalog =
            |n: i64| load(&[("catalog.yaml", A), ("a.yaml", &contract(&format!("1.{n}.0"), "")), ("a.json", "{}")]);
        let mut rows = CatalogRows::of(&catalog(0));
        for n in 1..=20 {
            rows = rows.succeeded_by(&catalog(n - 1), &catalog(n), UnixMillis(n));
        }
        let times: Vec<_> = rows.changes.iter().map(|change| change.at.0).collect();
        assert_eq!(times, (13..=20).collect::<Vec<_>>());
        let without = load(&[("catalog.yaml", "datasets: [{urn: 'urn:dp:b', topics: [b]}]")]);
        assert!(rows.succeeded_by(&catalog(20), &without, UnixMillis(21)).changes.is_empty());
    }

    #[test]
    fn the_difference_leads_from_one_to_the_other() {
        let of = |text: &str| CatalogRows::of(&load(&[("catalog.yaml", text)]));
        let (before, after) = (of(A), of(&A.replace("tier: 1", "tier: 2").replace("urn:dp:b", "urn:dp:c")));
        let CatalogRowChanges { left, came } = CatalogRowChanges::between(&before, &after);
        let urns = |rows: &CatalogRows| rows.policies.iter().map(|row| row.dataset.to_string()).collect::<Vec<_>>();
        assert_eq!(
            (urns(&left), urns(&came)),
            (vec!["urn:dp:a".into(), "urn:dp:b".into()], vec!["urn:dp:a".into(), "urn:dp:c".into()])
        );
        assert_eq!((left.assets.len(), came.assets.len()), (2, 2), "the dashboard stays");
        assert_eq!((left.flows.len(), came.flows.len(), left.producers.len(), came.producers.len()), (0, 0, 0, 0));
        let none = CatalogRowChanges::between(&before, &before);
        assert!(none.left.policies.is_empty() && none.came.policies.is_empty());
    }
}
