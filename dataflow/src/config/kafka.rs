//! `kafka:`: the brokers, who we are to them, and where reading starts.

use std::{collections::BTreeMap, fmt};

use faultline_sinks::kafka::{KafkaSettings, Tokens, properties_from_scalars, shown_properties};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::MapAccess, de::Visitor};

use super::ConfigError;
use crate::msk_iam::MskTokens;

/// Settings of librdkafka that the program has to have its own way, and what to set instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `kafka.bootstrap`"),
    ("metadata.broker.list", "set `kafka.bootstrap`"),
    ("group.id", "set `kafka.group`"),
    ("auto.offset.reset", "set `kafka.start` or `kafka.start_per_topic`"),
    ("enable.auto.commit", "positions are committed behind the evidence that they stand for"),
    ("auto.commit.enable", "positions are committed behind the evidence that they stand for"),
    ("enable.auto.offset.store", "positions are committed behind the evidence that they stand for"),
    ("enable.partition.eof", "the end of a partition is nothing to be told of"),
    ("transactional.id", "set `kafka.exactly_once`"),
];

/// The regular expression for whole names that a name of topics stands for, if it is one: it starts with `^`. All others
/// are exact names.
pub(crate) fn anchored(topics: &str) -> Option<String> {
    // Anchors within do no harm, and to take them off would be to read the expression.
    topics.starts_with('^').then(|| format!("^(?:{topics})$"))
}

/// The brokers and how to read from them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `bootstrap.servers`: `host:port`, several with commas.
    pub bootstrap: String,
    /// The consumer group under which positions are committed, so that Kafka's tools show the lag. Nothing else may join
    /// it: brokers refuse positions from outside while a group has members.
    #[serde(default = "KafkaConfig::default_group")]
    pub group: String,
    /// Where a partition is read from when the service starts.
    #[serde(default)]
    pub start: StartFrom,
    /// The same for single topics: exact names, or regular expressions that start with `^`. The first that fits a topic
    /// holds.
    #[serde(default)]
    pub start_per_topic: StartPerTopic,
    /// Any librdkafka setting, for consumers, producers and the admin client alike: TLS, SASL, tuning. They win over the
    /// program's own defaults.
    #[serde(default)]
    pub settings: Settings,
    /// Signs in to Amazon MSK with IAM. Sets `security.protocol` and `sasl.mechanism`.
    #[serde(default)]
    pub msk_iam: Option<MskIam>,
    /// Whether topics for evidence, signals and incidents are made at start where they are missing, with the broker's
    /// defaults for partitions and replicas.
    #[serde(default = "KafkaConfig::default_create_topics")]
    pub create_topics: bool,
    /// How often new topics and partitions are looked for, in milliseconds.
    #[serde(default = "KafkaConfig::default_discovery_ms")]
    pub discovery_ms: u64,
    /// Whether the catalog is read from `topics.catalog`, a compacted topic of files by their path, instead of from the
    /// directory `catalog`.
    #[serde(default)]
    pub catalog_topic: bool,
    /// Whether evidence is written by transactions, so that each piece is there once for readers with
    /// `isolation.level=read_committed`, whatever happens to the service. Uses the transactional ids `<group>-<worker>` and
    /// the group `<group>.evidence`.
    #[serde(default)]
    pub exactly_once: bool,
}

/// How to sign in to Amazon MSK with IAM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MskIam {
    /// The cluster's region: `eu-central-1`.
    pub region: String,
    /// A role to assume with the credentials found. Without it, those are used as they are.
    #[serde(default)]
    pub role_arn: Option<String>,
    /// A profile of the shared AWS configuration. Without it, credentials are looked for in the default chain:
    /// environment, shared files, web identity (EKS), container, instance.
    #[serde(default)]
    pub profile: Option<String>,
}

impl KafkaConfig {
    /// As clients are made from it. Clients that are made from one and the same value share their tokens.
    #[must_use]
    pub fn client(&self) -> KafkaSettings {
        let mut client = KafkaSettings::new(&self.bootstrap);
        if let Some(iam) = &self.msk_iam {
            client.properties.insert("security.protocol".to_owned(), "SASL_SSL".to_owned());
            client.properties.insert("sasl.mechanism".to_owned(), "OAUTHBEARER".to_owned());
            client.tokens = Some(Tokens::new(MskTokens::new(iam.clone())));
        }
        client.properties.extend(self.settings.0.clone());
        client
    }

    /// Checks values, patterns and the names of settings.
    ///
    /// # Errors
    /// Names the first that cannot be used.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, message| Err(ConfigError::Value { key, message });
        if self.bootstrap.trim().is_empty() {
            return wrong("kafka.bootstrap", "name at least one broker: host:port".to_owned());
        }
        if self.group.is_empty() {
            return wrong("kafka.group", "must not be empty".to_owned());
        }
        if self.discovery_ms < 100 {
            return wrong("kafka.discovery_ms", "must be at least 100".to_owned());
        }
        if let Err(error) = self.start_per_topic.matcher() {
            return wrong("kafka.start_per_topic", error.to_string());
        }
        if let Some((name, instead)) = RESERVED.iter().find(|(name, _)| self.settings.0.contains_key(*name)) {
            return wrong("kafka.settings", format!("{name} cannot be set here: {instead}"));
        }
        if let Some(iam) = &self.msk_iam {
            if iam.region.trim().is_empty() {
                return wrong("kafka.msk_iam", "region must not be empty".to_owned());
            }
            let mechanism = ["sasl.mechanism", "sasl.mechanisms"].iter().find_map(|name| self.settings.0.get(*name));
            if let Some(mechanism) = mechanism.filter(|mechanism| *mechanism != "OAUTHBEARER") {
                let message = format!("IAM signs in by OAUTHBEARER, and kafka.settings say {mechanism}: leave one out");
                return wrong("kafka.msk_iam", message);
            }
        }
        let settings = KafkaSettings { properties: self.settings.0.clone(), ..KafkaSettings::new(&self.bootstrap) };
        settings.check().or_else(|message| wrong("kafka.settings", message))
    }

    fn default_group() -> String {
        "faultline".to_owned()
    }
    fn default_create_topics() -> bool {
        true
    }
    fn default_discovery_ms() -> u64 {
        30_000
    }
}

/// Settings of librdkafka by name; in the file texts, numbers, true or false.
#[derive(Clone, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Settings(#[serde(deserialize_with = "properties_from_scalars")] pub BTreeMap<String, String>);

/// Hides the values of those that may hold secrets.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        shown_properties(&self.0).fmt(f)
    }
}

/// Where reading starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// At the oldest record that the broker still has: windows are complete.
    #[default]
    Earliest,
    /// At the newest: nothing before the start is judged.
    Latest,
    /// Where the group's committed position is: nothing is judged twice, and windows that were open at the stop are made
    /// of the later part of their records alone. A partition without a position is read from its oldest record.
    Committed,
}

/// Where reading starts in single topics, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, JsonSchema)]
#[schemars(transparent)]
pub struct StartPerTopic(#[schemars(with = "BTreeMap<String, StartFrom>")] pub Vec<(String, StartFrom)>);

impl StartPerTopic {
    /// The rules, ready to be asked.
    ///
    /// # Errors
    /// A pattern is no regular expression.
    pub fn matcher(&self) -> Result<StartRules, regex::Error> {
        let rule = |(topics, start): &(String, StartFrom)| {
            let topics = match anchored(topics) {
                Some(pattern) => Named::Pattern(Regex::new(&pattern)?),
                None => Named::Exact(topics.clone()),
            };
            Ok((topics, *start))
        };
        self.0.iter().map(rule).collect::<Result<_, _>>().map(StartRules)
    }
}

impl<'de> Deserialize<'de> for StartPerTopic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = StartPerTopic;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("topics with earliest, latest or committed")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StartPerTopic, A::Error> {
                let mut rules = Vec::new();
                while let Some(rule) = map.next_entry()? {
                    rules.push(rule);
                }
                Ok(StartPerTopic(rules))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[derive(Debug, Clone)]
enum Named {
    Exact(String),
    Pattern(Regex),
}

/// Where reading starts, by topic.
#[derive(Debug, Clone)]
pub struct StartRules(Vec<(Named, StartFrom)>);

impl StartRules {
    /// Where a topic is read from: by the first rule that fits it, else `otherwise`.
    #[must_use]
    pub fn of(&self, topic: &str, otherwise: StartFrom) -> StartFrom {
        let fits = |named: &Named| match named {
            Named::Exact(name) => name == topic,
            Named::Pattern(pattern) => pattern.is_match(topic),
        };
        self.0.iter().find(|(named, _)| fits(named)).map_or(otherwise, |&(_, start)| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> KafkaConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    fn refused(text: &str) -> String {
        read(text).validate().unwrap_err().to_string()
    }

    #[test]
    fn the_first_rule_that_fits_a_topic_holds() {
        let config = read(
            "bootstrap: a:9092\nstart: latest\nstart_per_topic:\n  raw.orders.events: committed\n  \
             '^raw\\.orders\\..*': latest\n  '^raw\\..*$': earliest\n  signal_factory.deployments: earliest\n",
        );
        let rules = config.start_per_topic.matcher().unwrap();
        let start = |topic| rules.of(topic, config.start);
        assert_eq!(start("raw.orders.events"), StartFrom::Committed);
        assert_eq!(start("raw.orders.refunds"), StartFrom::Latest);
        assert_eq!(start("raw.clicks"), StartFrom::Earliest);
        assert_eq!(start("not.raw.clicks"), StartFrom::Latest, "a pattern fits whole names");
        assert_eq!(start("signal_factory.deployments"), StartFrom::Earliest);
        assert!(refused("{bootstrap: 'a:9092', start_per_topic: {'^raw.(': latest}}").contains("start_per_topic"));
    }

    #[test]
    fn a_pattern_fits_whole_names_however_it_is_anchored() {
        let fits = |topics: &str, topic: &str| Regex::new(&anchored(topics).unwrap()).unwrap().is_match(topic);
        for topics in ["^raw\\.a", "^raw\\.a$", "^^raw\\.a$$", "^raw\\.a|b$"] {
            assert!(fits(topics, "raw.a"), "{topics}");
            assert!(!fits(topics, "raw.ab") && !fits(topics, "a.raw.a"), "{topics}");
        }
        assert!(fits("^raw\\.a|b$", "b"), "each way of an alternative is whole");
        assert_eq!(anchored("raw.a"), None);
    }

    #[test]
    fn settings_that_cannot_be_taken_are_named() {
        let with = |setting: &str| refused(&format!("{{bootstrap: 'a:9092', settings: {{{setting}}}}}"));
        let unknown = with("sasl.mechansim: SCRAM-SHA-512");
        assert!(unknown.contains("kafka.settings: sasl.mechansim: "), "{unknown}");
        let wrong = with("security.protocol: TLS");
        assert!(wrong.contains("kafka.settings: security.protocol: "), "{wrong}");
        for (name, instead) in RESERVED {
            let error = with(&format!("{name}: x"));
            assert!(error.contains(name) && error.contains(instead), "{error}");
        }
        let numbers = "{bootstrap: 'a:9092', settings: {linger.ms: 5, socket.keepalive.enable: true}}";
        read(numbers).validate().unwrap();
        assert_eq!(read(numbers).settings.0["linger.ms"], "5");
    }

    #[test]
    fn iam_signs_in_by_tokens_over_tls() {
        let config = read("{bootstrap: 'b:9098', msk_iam: {region: eu-central-1, profile: none-such}}");
        config.validate().unwrap();
        let client = config.client();
        assert_eq!(client.properties["security.protocol"], "SASL_SSL");
        assert_eq!(client.properties["sasl.mechanism"], "OAUTHBEARER");
        assert!(client.tokens.is_some());
        let error = refused("{bootstrap: 'b:1', msk_iam: {region: a}, settings: {sasl.mechanism: SCRAM-SHA-512}}");
        assert!(error.contains("SCRAM-SHA-512"), "{error}");
        assert!(refused("{bootstrap: 'b:1', msk_iam: {region: ''}}").contains("kafka.msk_iam"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = read("{bootstrap: 'a:9092', settings: {sasl.password: hunter2, sasl.username: me}}");
        let shown = format!("{config:?}");
        assert!(!shown.contains("hunter2") && shown.contains("sasl.password") && shown.contains("me"), "{shown}");
    }
}
