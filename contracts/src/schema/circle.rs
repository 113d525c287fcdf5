//! References that lead back to themselves without going into the document, such as `{"$defs": {"a": {"$ref":
//! "#/$defs/a"}}}`: judging by them would never end, and `{"not": {"$ref": …}}` may even contradict itself. The
//! standard leaves their meaning open; here they are errors.

use std::collections::BTreeMap;

use jsonschema::Draft;
use serde_json::Value;

/// Keywords whose schemas judge the same value as the schema that they are in.
const ONE: [&str; 4] = ["not", "if", "then", "else"];
const SEVERAL: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];

/// A reference that is part of a circle, or leads to one.
pub(super) fn find(root: &Value, draft: Draft) -> Option<String> {
    // From each reference to those that its target follows for the same value.
    let mut follows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found = in_place(root, draft);
    all_references(root, &mut found);
    while let Some(reference) = found.pop() {
        if follows.contains_key(reference) {
            continue;
        }
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        let next = target.map(|target| in_place(target, draft)).unwrap_or_default();
        found.extend(&next);
        follows.insert(reference, next);
    }
    // Take away what leads nowhere until nothing does: what is left goes in circles.
    let mut led_to_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for (reference, next) in &follows {
        open.insert(reference, next.len());
        for target in next {
            led_to_by.entry(target).or_default().push(reference);
        }
    }
    let mut ends: Vec<&str> = open.iter().filter(|(_, next)| **next == 0).map(|(reference, _)| *reference).collect();
    while let Some(end) = ends.pop() {
        open.remove(end);
        for reference in led_to_by.get(end).into_iter().flatten() {
            if let Some(next) = open.get_mut(reference) {
                *next -= 1;
                if *next == 0 {
                    ends.push(reference);
                }
            }
        }
    }
    open.keys().next().map(|reference| (*reference).to_owned())
}

/// The references that a schema follows for the value that it judges.
fn in_place(schema: &Value, draft: Draft) -> Vec<&str> {
    let mut references = Vec::new();
    let mut open = vec![schema];
    while let Some(schema) = open.pop() {
        let Value::Object(keywords) = schema else { continue };
        if let Some(Value::String(reference)) = keywords.get("$ref") {
            references.push(reference.as_str());
            if draft <= Draft::Draft7 {
                continue;
            }
        }
        open.extend(ONE.iter().filter_map(|keyword| keywords.get(*keyword)));
        let several = SEVERAL.iter().filter_map(|keyword| keywords.get(*keyword)?.as_array());
        open.extend(several.flatten());
        let named = NAMED.iter().filter_map(|keyword| keywords.get(*keyword)?.as_object());
        open.extend(named.flat_map(|named| named.values()));
    }
    references
}

fn all_references<'s>(schema: &'s Value, references: &mut Vec<&'s str>) {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(keywords) => {
                references.extend(keywords.get("$ref").and_then(Value::as_str));
                open.extend(keywords.values());
            }
            _ => {}
        }
    }
}
