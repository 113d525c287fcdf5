//! Times as numbers, where a contract says that they are.

use std::collections::BTreeMap;

use super::{
    AvroSchema,
    schema::{Field, Node},
};
use crate::validator::rule::{JsonTypes, ValueRule};

pub(super) fn specialise(schema: &AvroSchema, contract: &ValueRule) -> Option<AvroSchema> {
    let mut copy = Copy { from: schema, nodes: Vec::new(), done: BTreeMap::new(), changed: false };
    let root = copy.node(schema.root, Some(contract));
    copy.changed.then_some(AvroSchema { nodes: copy.nodes, root })
}

/// A copy of the graph in which a type that the contract speaks of at several places is there once for each.
struct Copy<'a> {
    from: &'a AvroSchema,
    nodes: Vec<Node>,
    /// Where a node went, by its place and the rule over it: rules are a tree, so that this ends.
    done: BTreeMap<(u32, Option<usize>), u32>,
    changed: bool,
}

impl<'a> Copy<'a> {
    fn node(&mut self, place: u32, rule: Option<&'a ValueRule>) -> u32 {
        let key = (place, rule.map(|rule| std::ptr::from_ref(rule).addr()));
        if let Some(&done) = self.done.get(&key) {
            return done;
        }
        let to = self.nodes.len() as u32;
        self.nodes.push(Node::Null);
        self.done.insert(key, to);
        let from = self.from;
        let node = match from.node(place) {
            Node::Array(items) => Node::Array(self.node(*items, rule.and_then(|rule| rule.items.as_deref()))),
            Node::Map(values) => Node::Map(self.node(*values, None)),
            Node::Union(branches) => Node::Union(branches.iter().map(|branch| self.node(*branch, rule)).collect()),
            Node::Record(fields) => Node::Record(fields.iter().map(|field| self.field(field, rule)).collect()),
            Node::Time { kind, .. } => {
                let number = rule.is_some_and(wants_number);
                self.changed |= number;
                Node::Time { kind: *kind, number }
            }
            other => other.clone(),
        };
        self.nodes[to as usize] = node;
        to
    }

    fn field(&mut self, field: &Field, rule: Option<&'a ValueRule>) -> Field {
        let object = rule.and_then(|rule| rule.object.as_ref());
        let declared = object.and_then(|object| object.fields.iter().find(|other| *other.name == *field.name));
        let node = self.node(field.node, declared.map(|declared| &declared.value));
        Field { name: field.name.clone(), label: field.label.clone(), node }
    }
}

fn wants_number(rule: &ValueRule) -> bool {
    rule.types.contains(JsonTypes::INTEGER) && !rule.types.contains(JsonTypes::STRING)
}
