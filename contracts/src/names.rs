//! How names from outside (topics, services, OpenLineage datasets) become ids of the graph.

use std::sync::Arc;

use crate::ids::EntityId;

/// The catalog's answer to what a name means. Decoders of lineage, deployments and spans ask it.
pub trait EntityNames {
    /// The producer registered under this id or alias.
    fn producer(&self, name: &str) -> Option<Arc<str>>;

    /// The dataset that a topic carries.
    fn dataset_of_topic(&self, topic: &str) -> Option<EntityId>;

    /// The asset or dataset that lists this text (an OpenLineage `namespace/name`) among its aliases.
    fn alias(&self, alias: &str) -> Option<EntityId>;

    /// The graph id of an OpenLineage dataset: a Kafka topic that the catalog knows is its dataset's URN,
    /// an alias is what it stands for, any other is `<namespace>/<name>`.
    fn lineage_dataset(&self, namespace: &str, name: &str) -> EntityId {
        let full = format!("{namespace}/{name}");
        if let Some(id) = self.alias(&full) {
            return id;
        }
        let topic = namespace.starts_with("kafka://").then(|| self.dataset_of_topic(name)).flatten();
        topic.unwrap_or_else(|| full.into())
    }
}
