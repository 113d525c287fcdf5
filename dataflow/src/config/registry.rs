//! Schema registries: where they are, and how they are asked.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::ConfigError;

/// Schema registries: where schemas of wire headers and of `glue:` and `confluent:` references are looked up.
#[derive(Debug, Clone, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryConfig {
    /// AWS Glue Schema Registry. `glue: {}` is the default registry of the machine's region and credentials. Without this
    /// key, records behind Glue's wire header give WARN.
    pub glue: Option<GlueConfig>,
    /// A registry that speaks Confluent's API. Without this key, records behind Confluent's wire header give WARN.
    pub confluent: Option<ConfluentConfig>,
    /// Where schemas that were looked up are kept, so that they are there after a restart while a registry is down.
    /// Without it, `schemas` below `data_dir`; without either, they are kept in memory alone.
    pub cache_dir: Option<PathBuf>,
    /// The longest that one look-up may take, references and repetitions included, in milliseconds. Records that wait for
    /// it are WARN with `REGISTRY_UNAVAILABLE` after that.
    pub timeout_ms: u64,
    /// How often a registry that nothing was asked of is asked whether it answers, in milliseconds.
    pub probe_ms: u64,
    /// How long it is remembered that a registry has no such id, in milliseconds.
    pub unknown_ttl_ms: u64,
    /// How long after a failed look-up the same id is not asked for again, in milliseconds.
    pub outage_ttl_ms: u64,
    /// How often references of the catalog that were not found are looked up again, and those whose version is `latest`, in
    /// milliseconds.
    pub refresh_ms: u64,
    /// The most schemas that are kept, in memory and on the disk each. Beyond it those go that were not used for longest.
    pub max_schemas: usize,
    /// The most ids that it is remembered of that they are unknown or could not be looked up.
    pub max_unknown: usize,
    /// The most look-ups under way at a time. Beyond it records are WARN at once.
    pub max_pending: usize,
    /// The largest answer of a registry that is read, in bytes.
    pub max_schema_bytes: usize,
    /// The most schemas that one schema may refer to, directly and by way of others.
    pub max_references: usize,
    /// How many look-ups of ids a second a registry is asked for in the long run, since producers can invent ids. Beyond it
    /// records of ids that are not known yet are WARN at once.
    pub max_lookups_per_second: u32,
    /// How many look-ups may be made at once before that rate holds.
    pub lookup_burst: u32,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            glue: None,
            confluent: None,
            cache_dir: None,
            timeout_ms: 2_000,
            probe_ms: 2_000,
            unknown_ttl_ms: 30_000,
            outage_ttl_ms: 5_000,
            refresh_ms: 60_000,
            max_schemas: 10_000,
            max_unknown: 10_000,
            max_pending: 256,
            max_schema_bytes: 1 << 20,
            max_references: 100,
            max_lookups_per_second: 50,
            lookup_burst: 500,
        }
    }
}

/// AWS Glue Schema Registry. Credentials come from where the AWS tools find them: environment, profile, web identity,
/// container or instance role. The one action to allow is `glue:GetSchemaVersion`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GlueConfig {
    /// The region. Without it, as the AWS tools find it: `AWS_REGION`, profile, instance.
    pub region: Option<String>,
    /// The registry in which `glue:<name>:<version>` is looked up; `glue:<registry>/<name>:<version>` names another one.
    /// Without it, `default-registry`.
    pub registry_name: Option<String>,
    /// Another address than Glue's own in that region, such as that of a VPC endpoint.
    pub endpoint: Option<String>,
}

impl GlueConfig {
    /// The registry of references that name none.
    #[must_use]
    pub fn registry_name(&self) -> &str {
        self.registry_name.as_deref().unwrap_or("default-registry")
    }
}

/// A registry that speaks Confluent's API.
#[derive(Clone, Default, PartialEq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ConfluentConfig {
    /// Its addresses, such as `https://registry.example:8081`. Where one does not answer, the next is asked.
    pub urls: Vec<String>,
    /// User name, or API key, of basic authentication.
    pub username: Option<String>,
    /// Its password, or API secret.
    pub password: Option<String>,
    /// A file that holds the password. It is read for each look-up, so that a new one takes effect by itself.
    pub password_file: Option<PathBuf>,
    /// A bearer token, instead of name and password.
    pub token: Option<String>,
    /// A file that holds the token. It is read for each look-up, so that a new one takes effect by itself.
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) of authorities that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for ConfluentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { urls, username, password, password_file, token, token_file, ca_file } = self;
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "…");
        f.debug_struct("ConfluentConfig")
            .field("urls", urls)
            .field("username", username)
            .field("password", &hidden(password))
            .field("password_file", password_file)
            .field("token", &hidden(token))
            .field("token_file", token_file)
            .field("ca_file", ca_file)
            .finish()
    }
}

/// What a request to a registry is authorised by.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing.
    None,
    /// Name and password.
    Basic(String, String),
    /// A token.
    Bearer(String),
}

impl ConfluentConfig {
    /// What requests are authorised by just now.
    ///
    /// # Errors
    /// A file that holds a secret cannot be read.
    pub fn authorization(&self) -> Result<Authorization, (PathBuf, io::Error)> {
        let secret = |inline: &Option<String>, file: &Option<PathBuf>| match file {
            Some(file) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(Some(text.trim_end().to_owned())),
                Err(error) => Err((file.clone(), error)),
            },
            None => Ok(inline.clone()),
        };
        if let Some(token) = secret(&self.token, &self.token_file)? {
            return Ok(Authorization::Bearer(token));
        }
        Ok(match &self.username {
            Some(name) => {
                Authorization::Basic(name.clone(), secret(&self.password, &self.password_file)?.unwrap_or_default())
            }
            None => Authorization::None,
        })
    }
}

impl RegistryConfig {
    /// Whether there is any registry.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.glue.is_some() || self.confluent.is_some()
    }

    /// The longest that one look-up may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// Where schemas are kept, if anywhere.
    #[must_use]
    pub fn cache_dir(&self, data_dir: Option<&Path>) -> Option<PathBuf> {
        self.cache_dir.clone().or_else(|| data_dir.map(|dir| dir.join("schemas")))
    }

    /// Makes paths relative to `folder`.
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let confluent = self.confluent.iter_mut().flat_map(|confluent| {
            let ConfluentConfig { password_file, token_file, ca_file, .. } = confluent;
            [password_file, token_file, ca_file]
        });
        for path in confluent.chain([&mut self.cache_dir]).flatten() {
            *path = folder.join(&*path);
        }
    }

    /// Checks that every value is in its range.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("registry.timeout_ms", self.timeout_ms),
            ("registry.probe_ms", self.probe_ms),
            ("registry.unknown_ttl_ms", self.unknown_ttl_ms),
            ("registry.outage_ttl_ms", self.outage_ttl_ms),
            ("registry.refresh_ms", self.refresh_ms),
            ("registry.max_schemas", self.max_schemas as u64),
            ("registry.max_unknown", self.max_unknown as u64),
            ("registry.max_pending", self.max_pending as u64),
            ("registry.max_schema_bytes", self.max_schema_bytes as u64),
            ("registry.max_lookups_per_second", self.max_lookups_per_second.into()),
            ("registry.lookup_burst", self.lookup_burst.into()),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value { key, message: "must be greater than 0".to_owned() });
        }
        let endpoint = self.glue.iter().filter_map(|glue| glue.endpoint.as_ref());
        let urls = self.confluent.iter().flat_map(|confluent| &confluent.urls);
        for (key, url) in
            endpoint.map(|url| ("registry.glue.endpoint", url)).chain(urls.map(|url| ("registry.confluent.urls", url)))
        {
            check_url(url).map_err(|message| ConfigError::Value { key, message })?;
        }
        let Some(confluent) = &self.confluent else { return Ok(()) };
        if confluent.urls.is_empty() {
            let message = "names no address; write [\"https://registry.example:8081\"]".to_owned();
            return Err(ConfigError::Value { key: "registry.confluent.urls", message });
        }
        let (token, password) = (
            confluent.token.is_some() || confluent.token_file.is_some(),
            confluent.password.is_some() || confluent.password_file.is_some(),
        );
        let (key, message) = match (token, &confluent.username, password) {
            (true, None, false) | (false, Some(_), _) | (false, None, false) => return Ok(()),
            (true, ..) => ("registry.confluent.token", "a token or a name and password, not both"),
            (false, None, true) => ("registry.confluent.username", "is missing: there is a password"),
        };
        Err(ConfigError::Value { key, message: message.to_owned() })
    }
}

fn check_url(url: &str) -> Result<(), String> {
    match reqwest::Url::parse(url) {
        Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() => {
            Err(format!("'{url}' is no http:// or https:// address"))
        }
        // It would be shown in logs.
        Ok(parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            Err("an address holds no name and password; write them as username and password".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("'{url}' is no address: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> RegistryConfig {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_key_is_enough_for_glue_and_an_address_for_confluent() {
        let config = read("glue: {}\nconfluent: {urls: ['http://localhost:8081']}");
        config.validate().unwrap();
        assert!(config.is_configured());
        assert_eq!(config.glue.unwrap().registry_name(), "default-registry");
        assert!(!RegistryConfig::default().is_configured());
        RegistryConfig::default().validate().unwrap();
    }

    #[test]
    fn what_cannot_work_is_named_by_its_key() {
        for (text, key) in [
            ("timeout_ms: 0", "registry.timeout_ms"),
            ("confluent: {}", "registry.confluent.urls"),
            ("confluent: {urls: ['localhost:8081']}", "registry.confluent.urls"),
            ("confluent: {urls: ['ftp://x']}", "registry.confluent.urls"),
            ("confluent: {urls: ['http://me:secret@x']}", "registry.confluent.urls"),
            ("confluent: {urls: ['http://x'], password: p}", "registry.confluent.username"),
            ("confluent: {urls: ['http://x'], username: u, token: t}", "registry.confluent.token"),
            ("glue: {endpoint: glue}", "registry.glue.endpoint"),
        ] {
            let error = read(text).validate().unwrap_err().to_string();
            assert!(error.contains(key), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown_and_are_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "first\n").unwrap();
        let mut config = read("confluent: {urls: ['http://x'], token_file: token, password: hush}");
        config.resolve_paths(dir.path());
        let confluent = config.confluent.unwrap();
        assert!(!format!("{confluent:?}").contains("hush"));
        assert!(confluent.authorization().unwrap() == Authorization::Bearer("first".into()));
        std::fs::write(&file, "second").unwrap();
        assert!(confluent.authorization().unwrap() == Authorization::Bearer("second".into()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(confluent.authorization().err().unwrap().0, file);
    }
}
