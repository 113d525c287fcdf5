//! Laying rules over one another: what `allOf` and `$ref` beside other keywords mean.

use crate::validator::rule::{FieldRule, ObjectRule, Presence, ValueRule};

/// The rule that holds where both hold. `None` where one rule cannot say that: no type is left, or an object is closed
/// for other fields than those it then has.
pub(super) fn overlay(below: &ValueRule, above: &ValueRule) -> Option<ValueRule> {
    let types = match (below.types.is_empty(), above.types.is_empty()) {
        (true, _) => above.types,
        (_, true) => below.types,
        _ => Some(below.types.and(above.types)).filter(|both| !both.is_empty())?,
    };
    let object = match (&below.object, &above.object) {
        (Some(below), Some(above)) => Some(overlay_objects(below, above)?),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    };
    let items = match (&below.items, &above.items) {
        (Some(below), Some(above)) => Some(Box::new(overlay(below, above)?)),
        (one, other) => one.as_ref().or(other.as_ref()).cloned(),
    };
    let checks = below.checks.iter().chain(&above.checks).cloned().collect();
    Some(ValueRule { types, checks, object, items })
}

fn overlay_objects(below: &ObjectRule, above: &ObjectRule) -> Option<ObjectRule> {
    if below.closed || above.closed {
        return None;
    }
    let mut fields = below.fields.clone();
    for field in &above.fields {
        match fields.iter_mut().find(|other| other.name == field.name) {
            Some(other) => {
                *other = FieldRule {
                    name: field.name.clone(),
                    presence: overlay_presence(other.presence, field.presence),
                    value: overlay(&other.value, &field.value)?,
                };
            }
            None => fields.push(field.clone()),
        }
    }
    Some(ObjectRule { fields, closed: false })
}

/// Schemas know but two ways: required, with any value, or not.
fn overlay_presence(below: Presence, above: Presence) -> Presence {
    if below == Presence::Required { below } else { above }
}
