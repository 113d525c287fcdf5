//! Events as their producers write them, and a catalog to decode them by.

use std::{collections::BTreeMap, sync::Arc};

use faultline_contracts::{ids::EntityId, names::EntityNames};

pub(super) const AIRFLOW_TASK_COMPLETE: &str = include_str!("fixtures/airflow_task_complete.json");
pub(super) const SPARK_COMPLETE: &str = include_str!("fixtures/spark_complete.json");
pub(super) const CDEVENTS_0_3_DEPLOYED: &str = include_str!("fixtures/cdevents_0_3_deployed.json");
pub(super) const CDEVENTS_0_4_UPGRADED: &str = include_str!("fixtures/cdevents_0_4_upgraded.json");
pub(super) const CDEVENTS_0_5_DEPLOYED_STRUCTURED: &str =
    include_str!("fixtures/cdevents_0_5_deployed_structured.json");
pub(super) const OTLP_REQUEST: &str = include_str!("fixtures/otlp_request.json");

/// A catalog of a shop.
pub(super) struct Shop {
    producers: BTreeMap<&'static str, &'static str>,
    topics: BTreeMap<&'static str, &'static str>,
    aliases: BTreeMap<&'static str, &'static str>,
}

pub(super) fn shop() -> Shop {
    Shop {
        producers: BTreeMap::from([
            ("orders", "orders-svc"),
            ("orders-svc", "orders-svc"),
            ("eu/billing", "billing-eu"),
        ]),
        topics: BTreeMap::from([("raw.orders.events", "urn:dp:orders:created")]),
        aliases: BTreeMap::from([
            ("s3://lake/gold/orders_daily", "delta:orders_gold_daily"),
            ("arn:aws:glue:eu-west-1:123456789012/table/gold/orders_daily", "delta:orders_gold_daily"),
            ("arn:aws:glue:eu-west-1:123456789012/table/silver/orders", "delta:orders_silver"),
        ]),
    }
}

impl EntityNames for Shop {
    fn producer(&self, name: &str) -> Option<Arc<str>> {
        self.producers.get(name).map(|&id| id.into())
    }

    fn dataset_of_topic(&self, topic: &str) -> Option<EntityId> {
        self.topics.get(topic).map(|&id| id.into())
    }

    fn alias(&self, alias: &str) -> Option<EntityId> {
        self.aliases.get(alias).map(|&id| id.into())
    }
}

/// The text with one part of it replaced, which must be there.
pub(super) fn with(text: &str, part: &str, replacement: &str) -> String {
    assert!(text.contains(part), "there is no {part} in {text}");
    text.replace(part, replacement)
}
