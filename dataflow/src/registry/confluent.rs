//! A registry that speaks Confluent's API: schemas by id, by GUID, by subject and version, with those that they refer to.

mod references;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use faultline_contracts::registry::{SchemaFormat, SchemaId, SchemaText};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};

use self::references::{Gathering, Reference};
use super::{
    error::{RegistryError, shown},
    http,
};
use crate::config::{Authorization, ConfluentConfig};

const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// A client of one registry, which may have several addresses.
#[derive(Debug)]
pub(super) struct ConfluentClient {
    http: reqwest::Client,
    config: ConfluentConfig,
    /// The address that answered last.
    current: AtomicUsize,
    timeout: Duration,
    max_bytes: usize,
    max_references: usize,
}

/// What the API says of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registered {
    schema: String,
    /// Avro where it is left out.
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    version: Option<u64>,
}

/// Where a schema is registered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Place {
    subject: String,
    version: u64,
}

#[derive(Deserialize)]
struct ContextId {
    #[serde(default)]
    context: String,
    id: u32,
}

#[derive(Deserialize, Default)]
struct Failure {
    #[serde(default)]
    error_code: u32,
    #[serde(default)]
    message: String,
}

impl ConfluentClient {
    /// A client that has asked nothing yet. One request to one of several addresses may take its share of `timeout`.
    ///
    /// # Errors
    /// The file of certificates cannot be used.
    pub(super) fn new(
        config: &ConfluentConfig,
        timeout: Duration,
        max_bytes: usize,
        max_references: usize,
    ) -> Result<Self, String> {
        let http = http::client(config.ca_file.as_deref())
            .map_err(|message| format!("registry.confluent.ca_file: {message}"))?;
        let mut config = config.clone();
        config.urls.iter_mut().for_each(|url| url.truncate(url.trim_end_matches('/').len()));
        let timeout = timeout / u32::try_from(config.urls.len()).unwrap_or(1).max(1);
        Ok(Self { http, config, current: AtomicUsize::new(0), timeout, max_bytes, max_references })
    }

    /// What tells its ids and subjects from those of another registry: the first of its addresses.
    pub(super) fn scope(config: &ConfluentConfig) -> String {
        format!("confluent {}", config.urls.first().map_or("", |url| url.trim_end_matches('/')))
    }

    /// The schema with this id or GUID.
    pub(super) async fn by_id(&self, id: SchemaId) -> Result<SchemaText, RegistryError> {
        let what = id.to_string();
        let id = what.split_once(':').map_or(what.as_str(), |(_, id)| id);
        let guid = id.contains('-');
        let path = if guid { format!("/schemas/guids/{id}") } else { format!("/schemas/ids/{id}") };
        let registered: Registered = self.get(&path, &what).await?;
        // Newer registries say by themselves where a schema is registered, and then it may be one of several places.
        let places = match guid {
            false => self.places(id).await?,
            true => match self.number_of(id).await? {
                Some(number) => self.places(&number.to_string()).await?,
                None => Vec::new(),
            },
        };
        self.assembled(registered, places, &what).await
    }

    /// A version of a subject.
    pub(super) async fn by_name(&self, subject: &str, version: &str) -> Result<SchemaText, RegistryError> {
        let what = format!("confluent:{subject}:{version}");
        if version != "latest" && version.parse::<u64>().is_err() {
            let message = format!("'{version}' is no version of a subject: a number or 'latest' is");
            return Err(RegistryError::Unusable { reference: what, format: None, message });
        }
        let registered: Registered = self.get(&version_path(subject, version), &what).await?;
        let place = registered.version.map(|version| Place { subject: subject.to_owned(), version });
        self.assembled(registered, place.into_iter().collect(), &what).await
    }

    /// Asks for the formats that it knows: whoever answers is up, whatever it says, but for refusals.
    pub(super) async fn probe(&self) -> Result<(), RegistryError> {
        match self.get::<serde::de::IgnoredAny>("/schemas/types", "").await {
            Ok(_) => Ok(()),
            Err(RegistryError::Refused { hint: None, transient: false, .. }) => Ok(()),
            Err(error) if error.is_answer() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where the schema with this number is registered; nowhere, where the registry is too old to be asked.
    async fn places(&self, number: &str) -> Result<Vec<Place>, RegistryError> {
        self.optional(&format!("/schemas/ids/{number}/versions")).await.map(Option::unwrap_or_default)
    }

    /// The number of the schema with this GUID in the default context, else in the first by name.
    async fn number_of(&self, guid: &str) -> Result<Option<u32>, RegistryError> {
        let ids: Vec<ContextId> = self.optional(&format!("/schemas/guids/{guid}/ids")).await?.unwrap_or_default();
        // The default context is ".", which comes before every other.
        Ok(ids.into_iter().min_by(|a, b| a.context.cmp(&b.context)).map(|found| found.id))
    }

    /// What is at a path that not every registry has.
    async fn optional<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, RegistryError> {
        match self.get(path, path).await {
            Ok(found) => Ok(Some(found)),
            Err(RegistryError::Unknown(_) | RegistryError::Refused { transient: false, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A schema with all that it refers to.
    async fn assembled(
        &self,
        registered: Registered,
        places: Vec<Place>,
        what: &str,
    ) -> Result<SchemaText, RegistryError> {
        let (mut schema, references) = text_of(registered, places, what)?;
        let mut gathering = Gathering::new(references, self.max_references);
        while let Some(next) = gathering.next().map_err(|error| {
            let message = format!("{what} {error}");
            RegistryError::Unusable { reference: what.to_owned(), format: Some(schema.format), message }
        })? {
            // Records outlive their schemas: what was deleted softly still counts for what refers to it.
            let path = format!("{}?deleted=true", version_path(&next.subject, &next.version.to_string()));
            let wanted = format!("confluent:{}:{}, to which {what} refers", next.subject, next.version);
            let found: Registered = self.get(&path, &wanted).await.map_err(|error| match error {
                // The schema itself is known, and its records are not to blame.
                RegistryError::Unknown(message) => {
                    RegistryError::Unusable { reference: what.to_owned(), format: Some(schema.format), message }
                }
                other => other,
            })?;
            gathering.found(next, found.schema, found.references);
        }
        schema.references = gathering.finish();
        Ok(schema)
    }

    /// Asks its addresses in turn, from the one that answered last, until one answers.
    async fn get<T: DeserializeOwned>(&self, path: &str, what: &str) -> Result<T, RegistryError> {
        let urls = &self.config.urls;
        let first = self.current.load(Ordering::Relaxed);
        let mut failed = None;
        for turn in 0..urls.len() {
            let index = (first + turn) % urls.len();
            let found = self.get_from(&urls[index], path, what).await;
            match found {
                Err(error) if is_for_another(&error) => failed = Some(error),
                answered => {
                    self.current.store(index, Ordering::Relaxed);
                    return answered;
                }
            }
        }
        Err(failed.unwrap_or_else(|| RegistryError::Unreachable {
            address: "the registry".to_owned(),
            reason: "registry.confluent.urls names no address".to_owned(),
        }))
    }

    async fn get_from<T: DeserializeOwned>(&self, url: &str, path: &str, what: &str) -> Result<T, RegistryError> {
        let authorization = self.config.authorization().map_err(|(file, error)| RegistryError::Unreachable {
            address: url.to_owned(),
            reason: format!("cannot read {}: {error}", file.display()),
        })?;
        let request = self.http.get(format!("{url}{path}")).header("accept", ACCEPT).timeout(self.timeout);
        let request = match authorization {
            Authorization::None => request,
            Authorization::Basic(name, password) => request.basic_auth(name, Some(password)),
            Authorization::Bearer(token) => request.bearer_auth(token),
        };
        let answer = http::send(request, url, what, self.max_bytes).await?;
        read(answer.status, &answer.body, url, what)
    }
}

/// Whether another address of the same registry may do better.
fn is_for_another(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unreachable { .. } | RegistryError::Refused { transient: true, .. })
}

fn version_path(subject: &str, version: &str) -> String {
    format!("/subjects/{}/versions/{version}", utf8_percent_encode(subject, NON_ALPHANUMERIC))
}

/// What an answer holds, or says about `what`.
fn read<T: DeserializeOwned>(status: u16, body: &[u8], address: &str, what: &str) -> Result<T, RegistryError> {
    if status == 200 {
        return serde_json::from_slice(body).map_err(|error| RegistryError::Refused {
            address: address.to_owned(),
            answer: format!("200 with something else than a registry would: {error}"),
            hint: Some("check registry.confluent.urls"),
            transient: false,
        });
    }
    let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
    // No such subject, version, schema.
    if status == 404 && matches!(failure.error_code, 40_401..=40_403) {
        return Err(RegistryError::Unknown(format!("the registry has no {what}")));
    }
    let hint = match status {
        401 => Some("check registry.confluent.username and password, or token"),
        403 => Some("allow the registry's user to read all subjects"),
        300..=399 => Some("write the address that it leads to in registry.confluent.urls"),
        _ => None,
    };
    let mut answer = status.to_string();
    if !failure.message.is_empty() {
        answer = format!("{answer} {}", shown(&failure.message));
    }
    let transient = http::is_transient(status);
    Err(RegistryError::Refused { address: address.to_owned(), answer, hint, transient })
}

/// A schema without what it refers to, and that.
fn text_of(
    registered: Registered,
    places: Vec<Place>,
    what: &str,
) -> Result<(SchemaText, Vec<Reference>), RegistryError> {
    let Registered { schema, schema_type, references, subject, version } = registered;
    let said = subject.zip(version).map(|(subject, version)| Place { subject, version });
    let places: BTreeSet<Place> = places.into_iter().chain(said).collect();
    let format = match schema_type.as_deref() {
        None | Some("AVRO") => SchemaFormat::Avro,
        Some("JSON") => SchemaFormat::Json,
        Some("PROTOBUF") => SchemaFormat::Protobuf,
        Some(other) => {
            let message = format!("{what} is of the unknown format {}", shown(other));
            return Err(RegistryError::Unusable { reference: what.to_owned(), format: None, message });
        }
    };
    let mut places = places.into_iter();
    let (name, version) =
        places.next().map_or_else(Default::default, |place| (place.subject, Some(place.version.to_string())));
    let other_names = places.map(|place| format!("confluent:{}:{}", place.subject, place.version)).collect();
    Ok((SchemaText { format, name, version, text: schema, other_names, references: Vec::new() }, references))
}

#[cfg(test)]
mod tests;
