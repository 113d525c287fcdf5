//! Ids and aliases: each names one thing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    AssetEntry, EntityId, Findings, ProducerEntry,
    entries::{Located, RawAsset, RawDataset, RawProducer},
};
use crate::yaml::clip;

/// Sorted texts without their places.
pub(super) fn texts(located: Vec<Located>) -> Vec<Arc<str>> {
    let texts: BTreeSet<Arc<str>> = located.into_iter().map(|(text, _)| text).collect();
    texts.into_iter().collect()
}

/// Drops entries whose id an earlier one has, and sorts by id.
fn unique<T>(
    raw: Vec<T>,
    id: fn(&T) -> &Located,
    taken: &mut BTreeSet<Arc<str>>,
    findings: &mut Findings<'_>,
) -> Vec<T> {
    let mut kept = Vec::with_capacity(raw.len());
    for entry in raw {
        let (text, at) = id(&entry);
        if taken.insert(text.clone()) {
            kept.push(entry);
        } else {
            findings.error("catalog-duplicate-id", *at, format!("'{}' is there twice", clip(text)));
        }
    }
    kept.sort_by(|a, b| id(a).0.cmp(&id(b).0));
    kept
}

/// Datasets and assets share one space of ids.
pub(super) fn unique_ids(
    datasets: Vec<RawDataset>,
    assets: Vec<RawAsset>,
    findings: &mut Findings<'_>,
) -> (Vec<RawDataset>, Vec<RawAsset>) {
    let mut taken = BTreeSet::new();
    let datasets = unique(datasets, |dataset| &dataset.urn, &mut taken, findings);
    (datasets, unique(assets, |asset| &asset.id, &mut taken, findings))
}

fn clash(what: &str, text: &str, holder: &str) -> String {
    format!("{what} '{}' stands for '{}' already", clip(text), clip(holder))
}

/// Producers in id order, and their names. An id comes before an alias, and an alias of an earlier id before one of a later.
pub(super) fn producers(
    raw: Vec<RawProducer>,
    findings: &mut Findings<'_>,
) -> (Vec<ProducerEntry>, BTreeMap<Arc<str>, Arc<str>>) {
    let raw = unique(raw, |producer| &producer.id, &mut BTreeSet::new(), findings);
    let mut names: BTreeMap<Arc<str>, Arc<str>> = raw.iter().map(|p| (p.id.0.clone(), p.id.0.clone())).collect();
    let mut entries = Vec::with_capacity(raw.len());
    for RawProducer { id: (id, _), aliases, team } in raw {
        for (alias, at) in &aliases {
            let holder = names.entry(alias.clone()).or_insert_with(|| id.clone());
            if *holder != id {
                findings.error("catalog-alias-clash", *at, clash("producer alias", alias, holder));
            }
        }
        entries.push(ProducerEntry { id, aliases: texts(aliases), team });
    }
    (entries, names)
}

/// What each alias stands for: datasets in URN order first, then assets in id order.
pub(super) fn aliases(
    datasets: &[RawDataset],
    assets: &[RawAsset],
    findings: &mut Findings<'_>,
) -> BTreeMap<Arc<str>, EntityId> {
    let datasets = datasets.iter().map(|dataset| (&dataset.urn.0, &dataset.aliases));
    let assets = assets.iter().map(|asset| (&asset.id.0, &asset.aliases));
    let all: Vec<_> = datasets.chain(assets).collect();
    let ids: BTreeSet<&Arc<str>> = all.iter().map(|(id, _)| *id).collect();
    let mut names: BTreeMap<Arc<str>, EntityId> = BTreeMap::new();
    for (id, aliases) in &all {
        for (alias, at) in *aliases {
            if ids.contains(alias) && alias != *id {
                findings.error("catalog-alias-clash", *at, clash("alias", alias, alias));
                continue;
            }
            let holder = names.entry(alias.clone()).or_insert_with(|| EntityId::from(&***id));
            if holder.as_str() != &***id {
                findings.error("catalog-alias-clash", *at, clash("alias", alias, holder.as_str()));
            }
        }
    }
    names
}

/// Warns of what assets consume and the catalog does not know. It stays: lineage may know it.
pub(super) fn known_consumes(
    assets: Vec<(AssetEntry, Vec<Located>)>,
    datasets: &[RawDataset],
    aliases: &BTreeMap<Arc<str>, EntityId>,
    findings: &mut Findings<'_>,
) -> Vec<AssetEntry> {
    let mut known: BTreeSet<&str> = datasets.iter().map(|dataset| &*dataset.urn.0).collect();
    known.extend(assets.iter().map(|(asset, _)| asset.id.as_str()));
    known.extend(aliases.keys().map(|alias| &**alias));
    for (asset, consumes) in &assets {
        for (text, at) in consumes {
            if !known.contains(&**text) {
                let message = format!("'{}' consumes '{}', which the catalog does not know", asset.id, clip(text));
                let finding = findings.warning("catalog-unknown-consumes", *at, message);
                finding.help("it is taken for what lineage events call <namespace>/<name>");
            }
        }
    }
    assets.into_iter().map(|(asset, _)| asset).collect()
}
