//! Deployments out of CDEvents (<https://cdevents.dev>): `service.deployed`, `upgraded`, `rolledback` and `removed`.
//!
//! They come as CloudEvents in structured mode, in binary mode (`ce_*` headers), or bare, and in any version: events of
//! CDEvents 0.1 to 0.5 agree in all the fields that are read here.

use std::{borrow::Cow, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use faultline_contracts::{
    deployment::{Deployment, DeploymentKind},
    names::EntityNames,
};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{DecodeError, Headers, MAX_NAME_BYTES, json, optional_text, text, time};

#[cfg(test)]
mod tests;

/// The deployment that a record of the deployments topic tells of; `None` for any other kind of CDEvent or CloudEvent.
///
/// # Errors
/// The payload is no JSON document or no event, or a service event lacks what it must have: an id, a source, a
/// timestamp, a subject and (but for a removal) the package URL of what was deployed.
pub fn decode(
    headers: Headers<'_>,
    payload: &[u8],
    names: &dyn EntityNames,
) -> Result<Option<Deployment>, DecodeError> {
    let structured = headers.content_type_starts_with("application/cloudevents");
    // In binary mode the type is known before the payload is read, and payloads of other types need not be JSON.
    let declared = headers.last("ce_type").filter(|_| !structured);
    if declared.is_some_and(|name| std::str::from_utf8(name).ok().and_then(kind_of).is_none()) {
        return Ok(None);
    }
    let body = json(payload)?;
    // A CloudEvent's own attributes are never objects, so an object called `context` is the CDEvent's.
    if body.get("context").is_some_and(Value::is_object) {
        return deployment(&body, names);
    }
    if structured || body.get("specversion").is_some() {
        return match text(&body, "/type", "type").map(kind_of)? {
            Some(_) => deployment(&data_of(body)?, names),
            None => Ok(None),
        };
    }
    Err(DecodeError::Missing { field: "context" })
}

fn kind_of(event_type: &str) -> Option<DeploymentKind> {
    match event_type.strip_prefix("dev.cdevents.service.")?.split('.').next()? {
        "deployed" => Some(DeploymentKind::Deployed),
        "upgraded" => Some(DeploymentKind::Upgraded),
        "rolledback" => Some(DeploymentKind::RolledBack),
        "removed" => Some(DeploymentKind::Removed),
        _ => None,
    }
}

/// The data of a CloudEvent in structured mode (CloudEvents JSON format §3.1): a JSON value, JSON in a string, or
/// JSON in base64.
fn data_of(mut envelope: Value) -> Result<Value, DecodeError> {
    match envelope.get_mut("data").map(Value::take) {
        Some(Value::String(document)) => json(document.as_bytes()),
        Some(data @ Value::Object(_)) => Ok(data),
        None | Some(Value::Null) => match envelope.get("data_base64").and_then(Value::as_str) {
            Some(encoded) => {
                let document = STANDARD.decode(encoded).map_err(|e| DecodeError::invalid("data_base64", e))?;
                json(&document)
            }
            None => Err(DecodeError::Missing { field: "data" }),
        },
        Some(_) => Err(DecodeError::invalid("data", "it is not an object")),
    }
}

fn deployment(event: &Value, names: &dyn EntityNames) -> Result<Option<Deployment>, DecodeError> {
    let Some(kind) = kind_of(text(event, "/context/type", "context.type")?) else { return Ok(None) };
    let id = text(event, "/context/id", "context.id")?;
    let source = text(event, "/context/source", "context.source")?;
    let at = time(event, "/context/timestamp", "context.timestamp")?;
    let service = service(text(event, "/subject/id", "subject.id")?, names)?;
    let artifact = optional_text(event, "/subject/content/artifactId", "subject.content.artifactId")?;
    let version = match artifact {
        Some(purl) => version_of(purl)?.as_ref().into(),
        None if kind == DeploymentKind::Removed => Arc::default(),
        None => return Err(DecodeError::Missing { field: "subject.content.artifactId" }),
    };
    let environment =
        optional_text(event, "/subject/content/environment/id", "subject.content.environment.id")?.map(Arc::from);
    // A source is a URI reference and has no spaces, so this text is unique to the pair.
    let event = format!("{source} {id}").into();
    Ok(Some(Deployment { service, at, version, kind, environment, event }))
}

/// The catalog may know a service by its full id or by the last segment of it; a service that it does not know is
/// called by that segment.
fn service(subject: &str, names: &dyn EntityNames) -> Result<Arc<str>, DecodeError> {
    let path = subject.trim().trim_end_matches('/');
    let segment = path.rsplit('/').next().unwrap_or(path);
    if segment.is_empty() {
        return Err(DecodeError::invalid("subject.id", "it has no name"));
    }
    Ok(names.producer(path).or_else(|| names.producer(segment)).unwrap_or_else(|| segment.into()))
}

/// The version in a package URL, `pkg:type/namespace/name@version?qualifiers#subpath`
/// (<https://github.com/package-url/purl-spec>). The `tag` qualifier says it better than a digest does.
fn version_of(purl: &str) -> Result<Cow<'_, str>, DecodeError> {
    const FIELD: &str = "subject.content.artifactId";
    let rest = purl.trim().strip_prefix("pkg:").ok_or_else(|| DecodeError::invalid(FIELD, "it is no package URL"))?;
    let rest = rest.split('#').next().unwrap_or(rest);
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    // `@` right after a slash starts a scope whose `@` was not encoded (`pkg:npm/@scope/name`).
    let version = path.rsplit_once('@').filter(|(name, _)| !name.ends_with('/')).map(|(_, version)| version);
    let tag = qualifiers.split('&').find_map(|pair| pair.strip_prefix("tag="));
    let decoded = |part: &'_ str| -> Result<Option<String>, DecodeError> {
        let text = percent_decode_str(part).decode_utf8().map_err(|e| DecodeError::invalid(FIELD, e))?;
        Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty() && text.len() <= MAX_NAME_BYTES))
    };
    let version = version.map(decoded).transpose()?.flatten();
    let tag = tag.map(decoded).transpose()?.flatten();
    match (version, tag) {
        (Some(digest), Some(tag)) if is_digest(&digest) => Ok(tag.into()),
        (Some(version), _) | (None, Some(version)) => Ok(version.into()),
        (None, None) => Err(DecodeError::invalid(FIELD, "it has no version")),
    }
}

/// Whether this is a content digest such as `sha256:0b31…`: an algorithm's name and hex digits.
fn is_digest(version: &str) -> bool {
    version.split_once(':').is_some_and(|(algorithm, digits)| {
        algorithm.starts_with("sha") && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}
