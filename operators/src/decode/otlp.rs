//! What spans say about services, out of OTLP `ExportTraceServiceRequest`s, in protobuf or JSON
//! (<https://opentelemetry.io/docs/specs/otlp/>).
//!
//! A span correlates its trace with the service and version of its resource. A PRODUCER span also correlates the traces
//! that it links to, because a producer that sends a batch links the context in which each message was created; links
//! of consumers and clients point to the work of others and correlate nothing.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{
    names::EntityNames,
    time::UnixMillis,
    trace::{ServiceSpan, TraceId},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::{ResourceSpans, Span, span::SpanKind},
};
use prost::Message as _;

use super::{DecodeError, Headers, MAX_NAME_BYTES};

#[cfg(test)]
mod tests;

/// How much of one request is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Distinct facts of one request.
    pub facts: usize,
    /// Links of one span.
    pub links: usize,
}

impl Default for Limits {
    /// 10,000 facts, and 128 links a span, which is the SDKs' own limit.
    fn default() -> Self {
        Self { facts: 10_000, links: 128 }
    }
}

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decoded {
    /// One fact for each trace, service, version and topic, at the earliest start of its spans; sorted.
    pub spans: Vec<ServiceSpan>,
    /// What was left out of it.
    pub omitted: Omitted,
}

/// What was left out of a request, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Omitted {
    /// Spans of resources without a `service.name`, or with the SDKs' `unknown_service`.
    pub unnamed: usize,
    /// Spans and links with an invalid trace id, and spans without a start time.
    pub invalid: usize,
    /// Facts beyond [`Limits::facts`].
    pub facts: usize,
    /// Links beyond [`Limits::links`].
    pub links: usize,
}

/// The facts in one `ExportTraceServiceRequest`. Content type `application/json`, or a first character `{`, means JSON.
///
/// # Errors
/// The payload is neither in the one encoding nor in the other. In JSON, one trace id that is not hex makes it so.
pub fn decode(
    headers: Headers<'_>,
    payload: &[u8],
    names: &dyn EntityNames,
    limits: Limits,
) -> Result<Decoded, DecodeError> {
    let mut facts = Facts { names, limits, earliest: BTreeMap::new(), omitted: Omitted::default() };
    for group in &request(headers, payload)?.resource_spans {
        facts.take(group);
    }
    let Facts { earliest, omitted, .. } = facts;
    let spans = earliest
        .into_iter()
        .map(|((trace_id, origin), at)| {
            let Origin { service, version, topic } = origin;
            ServiceSpan { trace_id, service, version, topic, at }
        })
        .collect();
    Ok(Decoded { spans, omitted })
}

fn request(headers: Headers<'_>, payload: &[u8]) -> Result<ExportTraceServiceRequest, DecodeError> {
    let protobuf = || {
        ExportTraceServiceRequest::decode(payload)
            .map_err(|error| DecodeError::syntax("an ExportTraceServiceRequest in protobuf", error))
    };
    let declared = headers.content_type_starts_with("application/json");
    if !declared && payload.trim_ascii_start().first() != Some(&b'{') {
        return protobuf();
    }
    let json = serde_json::from_slice(payload)
        .map_err(|error| DecodeError::syntax("an ExportTraceServiceRequest in JSON", error));
    // A protobuf request starts with a line feed (field 1, length-delimited), and with `{` after it where the first
    // message is 123 bytes long.
    if json.is_err() && payload.starts_with(b"\n{") { protobuf().or(json) } else { json }
}

/// Who did something, and to which topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    service: Arc<str>,
    version: Option<Arc<str>>,
    topic: Option<Arc<str>>,
}

struct Facts<'a> {
    names: &'a dyn EntityNames,
    limits: Limits,
    earliest: BTreeMap<(TraceId, Origin), UnixMillis>,
    omitted: Omitted,
}

impl Facts<'_> {
    fn take(&mut self, group: &ResourceSpans) {
        let resource = group.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let Some(name) = attribute(resource, "service.name").filter(|name| !name.starts_with("unknown_service")) else {
            self.omitted.unnamed += group.scope_spans.iter().map(|scope| scope.spans.len()).sum::<usize>();
            return;
        };
        let service = self.names.producer(name).unwrap_or_else(|| name.into());
        let version: Option<Arc<str>> = attribute(resource, "service.version").map(Arc::from);
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let topic = destination(span).map(Arc::from);
            self.take_span(span, Origin { service: service.clone(), version: version.clone(), topic });
        }
    }

    fn take_span(&mut self, span: &Span, origin: Origin) {
        if span.start_time_unix_nano == 0 {
            self.omitted.invalid += 1;
            return;
        }
        let at = UnixMillis((span.start_time_unix_nano / 1_000_000) as i64);
        if span.kind == SpanKind::Producer as i32 {
            for link in span.links.iter().take(self.limits.links) {
                self.insert(&link.trace_id, origin.clone(), at);
            }
            self.omitted.links += span.links.len().saturating_sub(self.limits.links);
        }
        self.insert(&span.trace_id, origin, at);
    }

    fn insert(&mut self, trace_id: &[u8], origin: Origin, at: UnixMillis) {
        let Some(trace_id) = trace_id.try_into().ok().and_then(TraceId::from_bytes) else {
            self.omitted.invalid += 1;
            return;
        };
        let key = (trace_id, origin);
        if let Some(earliest) = self.earliest.get_mut(&key) {
            *earliest = at.min(*earliest);
        } else if self.earliest.len() < self.limits.facts {
            self.earliest.insert(key, at);
        } else {
            self.omitted.facts += 1;
        }
    }
}

/// The Kafka topic that a span published to. By the semantic conventions a span that sends is of kind PRODUCER if its
/// context is the one that travels with the message, else of kind CLIENT.
fn destination(span: &Span) -> Option<&str> {
    let sends =
        || attribute(&span.attributes, "messaging.operation.type").is_some_and(|o| matches!(o, "send" | "publish"));
    let produces = span.kind == SpanKind::Producer as i32 || (span.kind == SpanKind::Client as i32 && sends());
    let kafka = || attribute(&span.attributes, "messaging.system").is_none_or(|system| system == "kafka");
    if produces && kafka() { attribute(&span.attributes, "messaging.destination.name") } else { None }
}

/// A string attribute that can be a name. Where a key is there several times, which OTLP forbids, the first one counts.
fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?;
    match &value.value {
        Some(any_value::Value::StringValue(text)) if !text.is_empty() && text.len() <= MAX_NAME_BYTES => Some(text),
        _ => None,
    }
}
