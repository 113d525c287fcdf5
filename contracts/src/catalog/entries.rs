//! `catalog.yaml`, entry by entry, so that a bad one does not take others with it.

use std::sync::Arc;

use super::{CatalogFiles, TopicName};
use crate::{
    asset::AssetKind,
    diagnostic::{Findings, Position},
    policy::Rollout,
    yaml::{self, Node, Object, Value, Vocabulary, clip},
};

/// The file's name.
pub(super) const FILE: &str = "catalog.yaml";

const VOCABULARY: Vocabulary = Vocabulary {
    unknown_key: "catalog-unknown-key",
    missing_key: "catalog-missing-key",
    wrong_type: "catalog-wrong-type",
};

/// A text and where it stands.
pub(super) type Located = (Arc<str>, Position);

/// What `catalog.yaml` says, before names are looked up.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) datasets: Vec<RawDataset>,
    pub(super) producers: Vec<RawProducer>,
    pub(super) assets: Vec<RawAsset>,
    /// Rollouts of whole domains.
    pub(super) domains: Vec<(Located, Rollout)>,
}

#[derive(Debug)]
pub(super) struct RawDataset {
    pub(super) urn: Located,
    pub(super) title: Option<Arc<str>>,
    pub(super) topics: Vec<(TopicName, Position)>,
    pub(super) producers: Vec<Located>,
    pub(super) schema: Option<Located>,
    pub(super) contract: Option<Located>,
    pub(super) tier: Option<u8>,
    pub(super) domain: Option<Arc<str>>,
    pub(super) slo_millionths: Option<u32>,
    pub(super) rollout: Rollout,
    pub(super) aliases: Vec<Located>,
}

#[derive(Debug)]
pub(super) struct RawProducer {
    pub(super) id: Located,
    pub(super) aliases: Vec<Located>,
    pub(super) team: Option<Arc<str>>,
}

#[derive(Debug)]
pub(super) struct RawAsset {
    pub(super) id: Located,
    pub(super) kind: AssetKind,
    pub(super) name: Option<Arc<str>>,
    pub(super) tier: Option<u8>,
    pub(super) owner: Option<Arc<str>>,
    pub(super) consumes: Vec<Located>,
    pub(super) aliases: Vec<Located>,
}

const ROOT_KEYS: [&str; 4] = ["assets", "datasets", "domains", "producers"];
const DATASET_KEYS: [&str; 11] = [
    "aliases",
    "compliance_slo",
    "contract",
    "domain",
    "enabled",
    "producer",
    "schema",
    "tier",
    "title",
    "topics",
    "urn",
];
const PRODUCER_KEYS: [&str; 3] = ["aliases", "id", "team"];
const ASSET_KEYS: [&str; 7] = ["aliases", "consumes", "id", "kind", "name", "owner", "tier"];
const DOMAIN_KEYS: [&str; 2] = ["enabled", "id"];

pub(super) fn read(files: &CatalogFiles, findings: &mut Findings<'_>) -> Entries {
    let mut entries = Entries::default();
    let Some(text) = files.get(FILE) else {
        let finding = findings.error("catalog-missing", Position::default(), "there is no catalog.yaml");
        finding.help("a catalog is a directory with a catalog.yaml");
        return entries;
    };
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(error) => {
            findings.error("catalog-syntax", error.at, format!("not a YAML document: {error}"));
            return entries;
        }
    };
    if root.value == Value::Null {
        return entries;
    }
    let Some(root) = Object::of(&root, "the catalog", &VOCABULARY, findings) else { return entries };
    root.refuse_unknown(&ROOT_KEYS, findings);
    entries.datasets = root.list("datasets", findings).iter().filter_map(|node| dataset(node, findings)).collect();
    entries.producers = root.list("producers", findings).iter().filter_map(|node| producer(node, findings)).collect();
    entries.assets = root.list("assets", findings).iter().filter_map(|node| asset(node, findings)).collect();
    entries.domains = root.list("domains", findings).iter().filter_map(|node| domain(node, findings)).collect();
    entries
}

fn dataset(node: &Node, findings: &mut Findings<'_>) -> Option<RawDataset> {
    let entry = Object::of(node, "a dataset", &VOCABULARY, findings)?;
    let urn = identity(entry, "urn", findings)?;
    let what = format!("dataset '{}'", clip(&urn.0));
    let entry = entry.named(&what);
    entry.refuse_unknown(&DATASET_KEYS, findings);
    let mut topics = Vec::new();
    for (text, at) in entry.texts("topics", findings) {
        match TopicName::parse(&text) {
            Ok(topic) => topics.push((topic, at)),
            Err(why) => {
                findings.error("catalog-bad-topic", at, format!("'{}' names no topic: {why}", clip(&text)));
            }
        }
    }
    if entry.get("topics").is_none() {
        findings.error(VOCABULARY.missing_key, entry.at, format!("{what} has no 'topics'"));
    }
    Some(RawDataset {
        urn,
        title: entry.text("title", findings).map(Into::into),
        topics,
        producers: one_or_more(entry, "producer", findings),
        schema: located(entry, "schema", findings),
        contract: located(entry, "contract", findings),
        tier: tier(entry, findings),
        domain: entry.text("domain", findings).map(Into::into),
        slo_millionths: slo(entry, findings),
        rollout: rollout(entry, findings),
        aliases: many(entry, "aliases", findings),
    })
}

fn producer(node: &Node, findings: &mut Findings<'_>) -> Option<RawProducer> {
    let entry = Object::of(node, "a producer", &VOCABULARY, findings)?;
    let id = identity(entry, "id", findings)?;
    entry.refuse_unknown(&PRODUCER_KEYS, findings);
    let team = entry.text("team", findings).map(Into::into);
    Some(RawProducer { id, aliases: many(entry, "aliases", findings), team })
}

fn asset(node: &Node, findings: &mut Findings<'_>) -> Option<RawAsset> {
    let entry = Object::of(node, "an asset", &VOCABULARY, findings)?;
    let id = identity(entry, "id", findings)?;
    let what = format!("asset '{}'", clip(&id.0));
    let entry = entry.named(&what);
    entry.refuse_unknown(&ASSET_KEYS, findings);
    let written = entry.required_text("kind", findings)?;
    let Some(kind) = KINDS.into_iter().find(|kind| kind.as_str() == written) else {
        let message = format!("'{}' is no kind of asset", clip(&written));
        let finding = findings.error("catalog-unknown-kind", entry.at_key("kind"), message);
        finding.help(KINDS.map(AssetKind::as_str).join(", ") + " are");
        return None;
    };
    Some(RawAsset {
        id,
        kind,
        name: entry.text("name", findings).map(Into::into),
        tier: tier(entry, findings),
        owner: entry.text("owner", findings).map(Into::into),
        consumes: many(entry, "consumes", findings),
        aliases: many(entry, "aliases", findings),
    })
}

const KINDS: [AssetKind; 7] = [
    AssetKind::Dataset,
    AssetKind::Job,
    AssetKind::Table,
    AssetKind::Dashboard,
    AssetKind::Report,
    AssetKind::Model,
    AssetKind::Service,
];

fn domain(node: &Node, findings: &mut Findings<'_>) -> Option<(Located, Rollout)> {
    let entry = Object::of(node, "a domain", &VOCABULARY, findings)?;
    let id = identity(entry, "id", findings)?;
    entry.refuse_unknown(&DOMAIN_KEYS, findings);
    Some((id, rollout(entry, findings)))
}

/// A text that can be part of ids in graphs, topics and URLs.
fn identity(entry: Object<'_>, key: &str, findings: &mut Findings<'_>) -> Option<Located> {
    let text = entry.required_text(key, findings)?;
    let at = entry.get(key).map_or(entry.at, |node| node.at);
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let message = format!("'{key}' of {} has white space in it", entry.what);
        findings.error("catalog-bad-id", at, message);
        return None;
    }
    Some((text.into(), at))
}

fn located(entry: Object<'_>, key: &str, findings: &mut Findings<'_>) -> Option<Located> {
    let text = entry.text(key, findings)?;
    Some((text.into(), entry.get(key).map_or(entry.at, |node| node.at)))
}

fn many(entry: Object<'_>, key: &str, findings: &mut Findings<'_>) -> Vec<Located> {
    entry.texts(key, findings).into_iter().map(|(text, at)| (text.into(), at)).collect()
}

fn one_or_more(entry: Object<'_>, key: &str, findings: &mut Findings<'_>) -> Vec<Located> {
    match entry.get(key).map(|node| &node.value) {
        None => Vec::new(),
        Some(Value::List(_)) => many(entry, key, findings),
        Some(_) => located(entry, key, findings).into_iter().collect(),
    }
}

fn tier(entry: Object<'_>, findings: &mut Findings<'_>) -> Option<u8> {
    let node = entry.get("tier")?;
    match u8::try_from(entry.count("tier", findings)?) {
        Ok(tier @ 1..=4) => Some(tier),
        _ => {
            findings.error("catalog-bad-tier", node.at, "'tier' must be 1, 2, 3 or 4");
            None
        }
    }
}

fn slo(entry: Object<'_>, findings: &mut Findings<'_>) -> Option<u32> {
    let node = entry.get("compliance_slo")?;
    let share = match &node.value {
        Value::Number(number) => number.json.as_f64(),
        _ => None,
    };
    let millionths = share.filter(|share| *share > 0.0 && *share <= 1.0).map(|share| (share * 1e6).round() as u32);
    if millionths.is_none() {
        let finding = findings.error("catalog-bad-slo", node.at, "'compliance_slo' must be above 0 and at most 1");
        finding.help("95 % is 0.95");
    }
    millionths
}

/// `enabled: true | false | observe`; true where nobody says. What cannot be read observes: nothing is lost, and
/// nobody is woken up.
fn rollout(entry: Object<'_>, findings: &mut Findings<'_>) -> Rollout {
    let Some(node) = entry.get("enabled") else { return Rollout::On };
    match &node.value {
        Value::Bool(true) => Rollout::On,
        Value::Bool(false) => Rollout::Off,
        Value::Text(text) if text == "observe" => Rollout::Observe,
        _ => {
            findings.error("catalog-bad-rollout", node.at, "'enabled' must be true, false or observe");
            Rollout::Observe
        }
    }
}
