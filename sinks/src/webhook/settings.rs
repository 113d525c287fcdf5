//! Whom to tell what, and how.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use faultline_contracts::incident::{Incident, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{pattern::Pattern, secret::Secret};
use crate::retry::RetrySettings;

/// A webhook whose settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` of webhook '{webhook}' {message}")]
pub struct SettingsError {
    /// Its name.
    pub webhook: String,
    /// Which setting.
    pub setting: &'static str,
    /// What is wrong with it, and what to write.
    pub message: String,
}

/// What a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The incident as in its topic, with the explanation's summary.
    #[default]
    Json,
    /// Slack's incoming webhooks, with blocks.
    Slack,
    /// PagerDuty's Events API v2: an incident is one alert, by its id as `dedup_key`.
    Pagerduty,
}

/// The names of severities, for the schema of the configuration.
#[derive(JsonSchema)]
#[allow(dead_code)]
enum SeverityName {
    #[serde(rename = "SEV-1")]
    Sev1,
    #[serde(rename = "SEV-2")]
    Sev2,
    #[serde(rename = "SEV-3")]
    Sev3,
    #[serde(rename = "SEV-4")]
    Sev4,
}

/// A receiver of incidents over HTTP. `url`, `routing_key`, `signing_secret`, `proxy` and the values of `headers` may be
/// written as texts, or be read at start from a file (`{file: PATH}`) or an environment variable (`{env: NAME}`).
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSettings {
    /// What this receiver is called in logs, metrics and the ledger of what was told: letters, digits, `-`, `_`, `.`; not
    /// twice the same. With another name it is another receiver, who was told nothing yet.
    pub name: String,
    /// Where messages are posted to. Without it, PagerDuty's own address; other formats need it.
    pub url: Option<Secret>,
    /// What the receiver understands: `json`, `slack` or `pagerduty`.
    pub format: Format,
    /// PagerDuty's integration key.
    pub routing_key: Option<Secret>,
    /// The least urgent severity it is told of.
    #[schemars(with = "SeverityName")]
    pub min_severity: Severity,
    /// Datasets it is told of, by URN, with `*` and `?` as wildcards (`urn:dp:orders:*`). Empty means all.
    pub datasets: Vec<Pattern>,
    /// More headers of each request, such as `authorization`.
    pub headers: BTreeMap<String, Secret>,
    /// With it, each request has a header `X-Faultline-Signature: sha256=<hex>`, the HMAC-SHA256 of its body.
    pub signing_secret: Option<Secret>,
    /// A page about an incident, for links in messages; `{id}` stands for the incident's id.
    pub link: Option<String>,
    /// How a receiver that does not answer is tried again.
    pub retry: RetrySettings,
    /// The most messages a minute; what is beyond waits, the newest state of each incident.
    pub per_minute: u32,
    /// How many incidents may wait while the receiver is away. What is new beyond that is dropped and counted.
    pub queue: usize,
    /// How long the news of an incident waits for a cause of high confidence, in milliseconds, so that people get both at
    /// once. A cause that is found later is told later.
    pub settle_ms: u64,
    /// The receiver is not told of incidents whose first failing record is older than this, in milliseconds: of use where
    /// topics with a long past are read for the first time. Without it, of all.
    pub max_age_ms: Option<u64>,
    /// How often an idle receiver is asked for a connection (no more: nothing is sent), in milliseconds, so that its outage
    /// shows before it matters; 0 is never.
    pub probe_ms: u64,
    /// An HTTP proxy to go through. Those of the environment are not used.
    pub proxy: Option<Secret>,
    /// A PEM file of certificate authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

/// Where PagerDuty takes events.
pub const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: None,
            format: Format::default(),
            routing_key: None,
            min_severity: Severity::Sev4,
            datasets: Vec::new(),
            headers: BTreeMap::new(),
            signing_secret: None,
            link: None,
            // One call is a person's news: it may take longer than a write to a store.
            retry: RetrySettings {
                first_pause_ms: 200,
                longest_pause_ms: 1_000,
                attempt_timeout_ms: 3_000,
                total_timeout_ms: 3_500,
            },
            per_minute: 60,
            queue: 10_000,
            settle_ms: 1_000,
            max_age_ms: None,
            probe_ms: 30_000,
            proxy: None,
            ca_file: None,
        }
    }
}

impl WebhookSettings {
    /// Checks what can be checked without reading secrets.
    ///
    /// # Errors
    /// Names the first setting that cannot be used.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |setting, message: &str| {
            Err(SettingsError { webhook: self.name.clone(), setting, message: message.to_owned() })
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return wrong("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        match self.format {
            Format::Json | Format::Slack if self.url.is_none() => return wrong("url", "is required"),
            Format::Pagerduty if self.routing_key.is_none() => {
                return wrong("routing_key", "is required: the integration key of an Events API v2 integration");
            }
            Format::Json | Format::Slack if self.routing_key.is_some() => {
                return wrong("routing_key", "is for `format: pagerduty` alone");
            }
            _ => {}
        }
        if let Some(link) = &self.link {
            let forbidden = |char: char| char.is_whitespace() || char.is_control() || "<>|\"".contains(char);
            if !(link.starts_with("https://") || link.starts_with("http://")) || link.contains(forbidden) {
                return wrong("link", "must be an http or https address without spaces, `<`, `>`, `|` and quotes");
            }
            if link.len() > 1_000 {
                return wrong("link", "must be at most 1,000 bytes long");
            }
        }
        let positive = [
            ("per_minute", u64::from(self.per_minute)),
            ("queue", self.queue as u64),
            ("retry.attempt_timeout_ms", self.retry.attempt_timeout_ms),
            ("retry.total_timeout_ms", self.retry.total_timeout_ms),
        ];
        if let Some((setting, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return wrong(setting, "must be greater than 0");
        }
        Ok(())
    }

    /// Checks each of several webhooks, and that their names differ.
    ///
    /// # Errors
    /// As [`WebhookSettings::validate`].
    pub fn validate_all(webhooks: &[Self]) -> Result<(), SettingsError> {
        for (place, webhook) in webhooks.iter().enumerate() {
            webhook.validate()?;
            if webhooks[..place].iter().any(|other| other.name == webhook.name) {
                let message = "is that of another webhook: names must differ".to_owned();
                return Err(SettingsError { webhook: webhook.name.clone(), setting: "name", message });
            }
        }
        Ok(())
    }

    /// Has relative files lie in `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        let Self { url, routing_key, headers, signing_secret, proxy, ca_file, .. } = self;
        let secrets = [url, routing_key, signing_secret, proxy].into_iter().flatten().chain(headers.values_mut());
        secrets.for_each(|secret| secret.resolve(folder));
        if let Some(file) = ca_file {
            *file = folder.join(&*file);
        }
    }

    /// Whether the receiver is to be told of this incident at all.
    #[must_use]
    pub fn concerns(&self, incident: &Incident) -> bool {
        let dataset = incident.dataset_urn.as_str();
        incident.severity <= self.min_severity
            && (self.datasets.is_empty() || self.datasets.iter().any(|pattern| pattern.matches(dataset)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::message::tests::incident;

    fn settings(json: serde_json::Value) -> WebhookSettings {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        settings(json!({"name": "ops", "url": "https://example.org/hook"})).validate().unwrap();
        settings(json!({"name": "pd", "format": "pagerduty", "routing_key": {"env": "KEY"}})).validate().unwrap();
        for (wrong, setting) in [
            (json!({"url": "https://example.org"}), "name"),
            (json!({"name": "a b", "url": "https://example.org"}), "name"),
            (json!({"name": "ops"}), "url"),
            (json!({"name": "pd", "format": "pagerduty"}), "routing_key"),
            (json!({"name": "ops", "url": "https://example.org", "routing_key": "k"}), "routing_key"),
            (json!({"name": "ops", "url": "https://example.org", "link": "javascript:alert(1)"}), "link"),
            (json!({"name": "ops", "url": "https://example.org", "link": "https://a/<b>"}), "link"),
            (json!({"name": "ops", "url": "https://example.org", "per_minute": 0}), "per_minute"),
        ] {
            let error = settings(wrong).validate().unwrap_err();
            assert_eq!(error.setting, setting, "{error}");
        }
        let twice = settings(json!({"name": "ops", "url": "https://example.org/hook"}));
        assert_eq!(WebhookSettings::validate_all(&[twice.clone(), twice]).unwrap_err().setting, "name");
        assert!(serde_json::from_value::<WebhookSettings>(json!({"nam": "ops"})).is_err());
    }

    #[test]
    fn secrets_are_not_shown_and_files_are_relative_to_the_configuration() {
        let mut settings = settings(json!({
            "name": "ops", "url": "https://example.org/hunter2", "headers": {"authorization": "Bearer hunter2"},
            "signing_secret": {"file": "key"}, "ca_file": "ca.pem",
        }));
        settings.resolve(Path::new("/etc/faultline"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("hunter2") && shown.contains("file /etc/faultline/key"), "{shown}");
        assert_eq!(settings.ca_file.as_deref(), Some(Path::new("/etc/faultline/ca.pem")));
    }

    #[test]
    fn severity_and_dataset_decide_whom_it_concerns() {
        let concerns = |more: serde_json::Value| {
            let mut settings = settings(json!({"name": "ops", "url": "https://example.org"}));
            settings.min_severity = serde_json::from_value(more["min_severity"].clone()).unwrap_or(Severity::Sev4);
            settings.datasets = serde_json::from_value(more["datasets"].clone()).unwrap_or_default();
            settings.concerns(&Incident { severity: Severity::Sev2, ..incident() })
        };
        assert!(concerns(json!({})) && concerns(json!({"min_severity": "SEV-2"})));
        assert!(!concerns(json!({"min_severity": "SEV-1"})));
        assert!(concerns(json!({"datasets": ["urn:dp:payments:*", "urn:dp:orders:*"]})));
        assert!(!concerns(json!({"datasets": ["urn:dp:payments:*"]})));
    }
}
