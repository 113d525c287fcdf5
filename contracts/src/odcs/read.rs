//! The root of a contract.

use std::{path::Path, sync::Arc};

use super::{Contract, SchemaObject, SlaProperty, VOCABULARY, schema, sla, stakeholders};
use crate::{
    diagnostic::{Diagnostic, Findings, Position},
    time::UnixMillis,
    yaml::{self, Object, Value},
};

const ROOT_KEYS: [&str; 22] = [
    "apiVersion",
    "authoritativeDefinitions",
    "contractCreatedTs",
    "customProperties",
    "dataProduct",
    "description",
    "domain",
    "id",
    "kind",
    "name",
    "price",
    "roles",
    "schema",
    "servers",
    "slaDefaultElement",
    "slaProperties",
    "status",
    "support",
    "tags",
    "team",
    "tenant",
    "version",
];

/// What a file turned out to hold.
#[derive(Debug)]
pub struct Parsed {
    /// The contract, if the file has no error.
    pub contract: Option<Contract>,
    /// Its id and version, even if the rest is broken.
    pub identity: Option<(Arc<str>, Arc<str>)>,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a contract. All mistakes are found, not the first alone; `file` is for their places.
#[must_use]
pub fn parse(text: &str, file: &Path) -> Parsed {
    let mut findings = Findings::about(file);
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(error) => {
            findings.error("odcs-syntax", error.at, format!("not a YAML document: {error}"));
            return Parsed { contract: None, identity: None, diagnostics: findings.into_diagnostics() };
        }
    };
    let (contract, identity) = match Object::of(&root, "the contract", &VOCABULARY, &mut findings) {
        Some(root) => read(root, &mut findings),
        None => (None, None),
    };
    let contract = contract.filter(|_| !findings.has_error());
    Parsed { contract, identity, diagnostics: findings.into_diagnostics() }
}

type Identity = (Arc<str>, Arc<str>);

fn read(root: Object<'_>, findings: &mut Findings<'_>) -> (Option<Contract>, Option<Identity>) {
    root.refuse_unknown(&ROOT_KEYS, findings);
    let api_version = root.required_text("apiVersion", findings);
    if let Some(version) = &api_version {
        check_api_version(version, root, findings);
    }
    if let Some(kind) = root.required_text("kind", findings)
        && kind != "DataContract"
    {
        let message = format!("'kind' must be DataContract, not '{}'", yaml::clip(&kind));
        findings.error("odcs-wrong-kind", root.at_key("kind"), message);
    }
    let id = root.required_text("id", findings);
    let version = root.required_text("version", findings);
    let status = root.required_text("status", findings);
    let created = created(root, findings);
    let name = root.text("name", findings);
    let domain = root.text("domain", findings);
    let purpose = root
        .object("description", "the description", findings)
        .and_then(|description| description.text("purpose", findings));
    let custom = CustomProperties::of(root, findings);
    let closed = custom.closed;
    let objects: Vec<SchemaObject> = root
        .list("schema", findings)
        .iter()
        .filter_map(|node| schema::read_object(node, closed.unwrap_or(false), findings))
        .collect();
    if root.get("schema").is_none() {
        findings
            .warning("odcs-no-schema", root.at, "the contract has no schema, so every record keeps it")
            .help("add a 'schema' with one object for each topic");
    }
    let sla: Vec<SlaProperty> =
        root.list("slaProperties", findings).iter().filter_map(|node| sla::read(node, findings)).collect();
    let team = root.get("team").map(|node| stakeholders::read_team(node, findings)).unwrap_or_default();
    let support =
        root.list("support", findings).iter().filter_map(|node| stakeholders::read_support(node, findings)).collect();
    let servers =
        root.list("servers", findings).iter().filter_map(|node| stakeholders::read_server(node, findings)).collect();
    let arc = |text: String| -> Arc<str> { text.into() };
    let identity = id.clone().zip(version.clone()).map(|(id, version)| (arc(id), arc(version)));
    let required = api_version.zip(status).zip(identity.clone());
    let contract = required.map(|((api_version, status), (id, version))| Contract {
        api_version: api_version.into(),
        id,
        version,
        status: status.into(),
        created,
        name: name.map(arc),
        domain: domain.map(arc),
        purpose: purpose.map(arc),
        tier: custom.tier,
        objects,
        sla,
        team,
        support,
        servers,
        at: root.at_key("id"),
    });
    (contract, identity)
}

/// `contractCreatedTs`. One that cannot be read costs the contract nothing but its place among the causes of a breach.
fn created(root: Object<'_>, findings: &mut Findings<'_>) -> Option<UnixMillis> {
    const KEY: &str = "contractCreatedTs";
    let text = root.text(KEY, findings)?;
    let created = text.parse().ok();
    if created.is_none() {
        let at = root.get(KEY).map_or(root.at, |node| node.at);
        let message = format!("'{KEY}' has no effect: '{}' is not an RFC 3339 time", yaml::clip(&text));
        findings.warning("odcs-bad-timestamp", at, message).help("write it as 2023-10-27T09:57:45Z");
    }
    created
}

/// 3.0 and 3.1 are what this reads; a later 3.x is read as 3.1, because minor versions only add.
fn check_api_version(version: &str, root: Object<'_>, findings: &mut Findings<'_>) {
    let at = root.at_key("apiVersion");
    let clipped = yaml::clip(version);
    let mut numbers = version.strip_prefix('v').unwrap_or(version).split('.').map(|part| part.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(3), Some(0 | 1)) => {}
        (Some(3), _) => {
            let message = format!("apiVersion {clipped} is newer than this program knows; it is read as v3.1.0");
            findings.warning("odcs-newer-version", at, message);
        }
        _ => {
            findings
                .error("odcs-unsupported-version", at, format!("apiVersion '{clipped}' is not supported"))
                .help("v3.0.x and v3.1.x are");
        }
    }
}

/// The custom properties that mean something here; all others are free.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CustomProperties {
    /// `tier`
    pub(super) tier: Option<u8>,
    /// `additionalProperties: false` is `Some(true)`.
    pub(super) closed: Option<bool>,
}

impl CustomProperties {
    pub(super) fn of(parent: Object<'_>, findings: &mut Findings<'_>) -> Self {
        let mut custom = Self::default();
        for node in parent.list("customProperties", findings) {
            let Some(entry) = Object::of(node, "a custom property", &VOCABULARY, findings) else { continue };
            let Some(name) = entry.required_text("property", findings) else { continue };
            let Some(value) = entry.get("value") else { continue };
            let text = value.scalar_text().unwrap_or_default();
            match name.as_str() {
                "tier" => match text.parse::<u8>() {
                    Ok(tier @ 1..=4) => custom.tier = Some(tier),
                    _ => {
                        findings.error("odcs-bad-tier", value.at, "'tier' must be 1, 2, 3 or 4");
                    }
                },
                "additionalProperties" => match (&value.value, text.as_str()) {
                    (Value::Bool(allowed), _) => custom.closed = Some(!allowed),
                    (_, "false") => custom.closed = Some(true),
                    (_, "true") => custom.closed = Some(false),
                    _ => wrong_flag(value.at, findings),
                },
                _ => {}
            }
        }
        custom
    }
}

fn wrong_flag(at: Position, findings: &mut Findings<'_>) {
    findings.error("odcs-wrong-type", at, "'additionalProperties' must be true or false");
}
