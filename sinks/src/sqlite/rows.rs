//! Items as rows: which table, and the JSON whose fields are its columns.

use rusqlite::types::Value;
use serde_json::{Map, json};

use super::schema::Table;
use crate::store::{StoreItem, StoreKey};

/// The item's table and its JSON.
pub(super) fn row(item: &StoreItem) -> (Table, String) {
    let (table, row) = match item {
        StoreItem::Signal(signal) => (Table::Signals, json!(signal)),
        StoreItem::Incident(incident) => {
            let mut row = json!(incident);
            row["json"] = json!(row.to_string());
            (Table::Incidents, row)
        }
        StoreItem::Window(window) => (Table::Windows, json!(window)),
        StoreItem::Vertex(vertex) => {
            let properties: Map<_, _> =
                vertex.properties.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
            (Table::Vertices, json!({"id": vertex.id, "label": vertex.label, "properties": properties}))
        }
        StoreItem::Edge(edge) => {
            let confidence = edge.confidence.map(|thousandths| f64::from(thousandths) / 1000.0);
            let row = json!({
                "id": edge.id(), "from_id": edge.from, "to_id": edge.to, "label": edge.label, "since": edge.since,
                "confidence": confidence,
            });
            (Table::Edges, row)
        }
        StoreItem::Explanation { incident, json } => {
            (Table::Explanations, json!({"incident_id": incident, "json": json}))
        }
    };
    (table, row.to_string())
}

/// The key's table and the values of its columns.
pub(super) fn key(key: &StoreKey) -> (Table, Vec<Value>) {
    let text = |text: &dyn ToString| Value::Text(text.to_string());
    match key {
        StoreKey::Signal(dataset, kind) => (Table::Signals, vec![text(dataset), text(kind)]),
        StoreKey::Incident(id) => (Table::Incidents, vec![text(id)]),
        StoreKey::Window(window) => (Table::Windows, vec![text(&window.dataset), text(&window.start)]),
        StoreKey::Vertex(id) => (Table::Vertices, vec![text(id)]),
        StoreKey::Edge(id) => (Table::Edges, vec![text(id)]),
        StoreKey::Explanation(incident) => (Table::Explanations, vec![text(incident)]),
    }
}
