//! AWS Glue Schema Registry: one action, `GetSchemaVersion`, by id or by name and version.
//!
//! ```text
//! id or name ─► request (pure) ─► signature (pure) ─► HTTP ─► answer ─► SchemaText or RegistryError (pure)
//! ```

mod credentials;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use faultline_contracts::registry::{SchemaFormat, SchemaId, SchemaText};
use serde::Deserialize;
use serde_json::{Value, json};

use self::credentials::AwsCredentials;
use super::{
    error::{RegistryError, shown},
    http,
};
use crate::config::GlueConfig;

const TARGET: &str = "AWSGlue.GetSchemaVersion";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// A client of one registry. It asks with whatever credentials are valid when it asks.
#[derive(Debug)]
pub(super) struct GlueClient {
    http: reqwest::Client,
    config: GlueConfig,
    credentials: AwsCredentials,
    max_bytes: usize,
}

impl GlueClient {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// There is no way to speak TLS here.
    pub(super) fn new(config: &GlueConfig, max_bytes: usize) -> Result<Self, String> {
        let credentials = AwsCredentials::new(config.region.clone());
        Ok(Self { http: http::client(None)?, config: config.clone(), credentials, max_bytes })
    }

    /// What tells its ids and names from those of another registry.
    pub(super) fn scope(config: &GlueConfig) -> String {
        let GlueConfig { region, registry_name: _, endpoint } = config;
        let place = |place: &Option<String>| place.clone().unwrap_or_default();
        format!("glue {} {} {}", place(region), config.registry_name(), place(endpoint))
    }

    /// The schema version with this id.
    pub(super) async fn by_id(&self, id: SchemaId) -> Result<SchemaText, RegistryError> {
        let text = id.to_string();
        let uuid = text.split_once(':').map_or(text.as_str(), |(_, uuid)| uuid);
        self.ask(&by_id(uuid), &text).await
    }

    /// A version of a schema by its name in catalogs.
    pub(super) async fn by_name(&self, name: &str, version: &str) -> Result<SchemaText, RegistryError> {
        let reference = format!("glue:{name}:{version}");
        self.ask(&by_name(self.config.registry_name(), name, version)?, &reference).await
    }

    /// Asks for an id that no schema has: whoever says so is up, and lets us ask.
    pub(super) async fn probe(&self) -> Result<(), RegistryError> {
        match self.ask(&by_id("00000000-0000-0000-0000-000000000000"), "").await {
            Ok(_) => Ok(()),
            Err(error) if error.is_answer() => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask(&self, request: &Value, what: &str) -> Result<SchemaText, RegistryError> {
        let body = request.to_string();
        let mut renewed = false;
        loop {
            let (region, credentials) = self.credentials.get().await?;
            let url = match &self.config.endpoint {
                Some(url) => url.clone(),
                None => endpoint(&region),
            };
            let signature = signature(&url, &body, &region, &credentials, SystemTime::now())?;
            let mut request = self.http.post(&url).header("content-type", CONTENT_TYPE).header("x-amz-target", TARGET);
            for (name, value) in signature {
                request = request.header(name, value);
            }
            let answer = http::send(request.body(body.clone()), &url, what, self.max_bytes).await?;
            let found = read(answer.status, &answer.body, &url, what, self.config.registry_name());
            // Whoever replaced credentials before their time need not restart us.
            if is_expired(&found) && !renewed {
                renewed = true;
                self.credentials.discard().await;
                continue;
            }
            return found;
        }
    }
}

/// Glue's address in a region.
fn endpoint(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://glue.{region}.{suffix}/")
}

fn by_id(uuid: &str) -> Value {
    json!({ "SchemaVersionId": uuid })
}

/// `name` is a schema of the registry that is configured, or `<registry>/<schema>`.
fn by_name(registry: &str, name: &str, version: &str) -> Result<Value, RegistryError> {
    let (registry, schema) = name.split_once('/').unwrap_or((registry, name));
    let version = match version.parse::<u64>() {
        Ok(number) => json!({ "VersionNumber": number }),
        Err(_) if version == "latest" => json!({ "LatestVersion": true }),
        Err(_) => {
            let message = format!("'{version}' is no version of a Glue schema: a number or 'latest' is");
            return Err(RegistryError::Unusable { reference: format!("glue:{name}:{version}"), format: None, message });
        }
    };
    Ok(json!({
        "SchemaId": { "RegistryName": registry, "SchemaName": schema },
        "SchemaVersionNumber": version,
    }))
}

/// The headers that prove who asks.
fn signature(
    url: &str,
    body: &str,
    region: &str,
    credentials: &Credentials,
    time: SystemTime,
) -> Result<Vec<(String, String)>, RegistryError> {
    let failed = |message: String| RegistryError::Unreachable {
        address: url.to_owned(),
        reason: format!("the request cannot be signed: {message}"),
    };
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("glue")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(error.to_string()))?
        .into();
    let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
    let request = SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()))
        .map_err(|error| failed(error.to_string()))?;
    let (instructions, _) = sign(request, &params).map_err(|error| failed(error.to_string()))?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SchemaVersion {
    schema_definition: String,
    data_format: String,
    #[serde(default)]
    schema_arn: Option<String>,
    #[serde(default)]
    version_number: Option<u64>,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

impl Failure {
    /// The kind without its name space: `com.amazonaws.glue#ThrottlingException:http://…`.
    fn kind(&self) -> &str {
        let kind = self.kind.rsplit_once('#').map_or(self.kind.as_str(), |(_, kind)| kind);
        kind.split(':').next().unwrap_or_default()
    }
}

/// What an answer says about `what`.
fn read(status: u16, body: &[u8], address: &str, what: &str, registry: &str) -> Result<SchemaText, RegistryError> {
    if status != 200 {
        return Err(refusal(status, body, address, what));
    }
    let version: SchemaVersion = serde_json::from_slice(body).map_err(|error| {
        // Something else listens there, or in between.
        let hint = Some("check registry.glue.endpoint");
        let answer = format!("200 with no schema version: {error}");
        RegistryError::Refused { address: address.to_owned(), answer, hint, transient: false }
    })?;
    match version.status.as_deref() {
        None | Some("AVAILABLE" | "DELETING") => {}
        Some("FAILURE") => return Err(RegistryError::Unknown(format!("{what} was refused by its registry"))),
        Some(other) => {
            let hint = Some("the registry has not accepted that version yet");
            let answer = format!("status {} for {what}", shown(other));
            return Err(RegistryError::Refused { address: address.to_owned(), answer, hint, transient: true });
        }
    }
    let format = match version.data_format.as_str() {
        "AVRO" => SchemaFormat::Avro,
        "JSON" => SchemaFormat::Json,
        "PROTOBUF" => SchemaFormat::Protobuf,
        other => {
            let message = format!("{what} is of the unknown format {}", shown(other));
            return Err(RegistryError::Unusable { reference: what.to_owned(), format: None, message });
        }
    };
    let name = version.schema_arn.as_deref().and_then(|arn| name_of(arn, registry));
    Ok(SchemaText {
        format,
        // Without a name there is no version of it either.
        version: name.is_some().then_some(version.version_number).flatten().map(|number| number.to_string()),
        name: name.unwrap_or_default(),
        text: version.schema_definition,
        other_names: Vec::new(),
        references: Vec::new(),
    })
}

/// A schema's name in catalogs: `arn:aws:glue:<region>:<account>:schema/<registry>/<name>` is `<name>`, or
/// `<registry>/<name>` where that is another registry than the one configured.
fn name_of(arn: &str, registry: &str) -> Option<String> {
    let (of, name) = arn.split_once(":schema/")?.1.split_once('/')?;
    Some(if of == registry { name.to_owned() } else { format!("{of}/{name}") })
}

fn refusal(status: u16, body: &[u8], address: &str, what: &str) -> RegistryError {
    let failure: Failure =
        serde_json::from_slice(body).unwrap_or(Failure { kind: String::new(), message: String::new() });
    let kind = failure.kind();
    if kind == "EntityNotFoundException" {
        return RegistryError::Unknown(format!("the registry has no {what}"));
    }
    let throttled = matches!(
        kind,
        "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" | "SlowDown"
    );
    let hint = match kind {
        "AccessDeniedException" => Some("allow glue:GetSchemaVersion to the program's role"),
        "UnrecognizedClientException" | "InvalidClientTokenId" | "MissingAuthenticationTokenException" => {
            Some("the credentials are not known there; check the environment, the profile or the role")
        }
        "InvalidSignatureException" | "IncompleteSignatureException" => {
            Some("check the secret key, the region and this machine's clock")
        }
        EXPIRED => Some("the credentials have expired; renew them"),
        _ => None,
    };
    let mut answer = status.to_string();
    for part in [kind, &failure.message] {
        if !part.is_empty() {
            answer = format!("{answer} {}", shown(part));
        }
    }
    let transient = throttled || http::is_transient(status);
    RegistryError::Refused { address: address.to_owned(), answer, hint, transient }
}

const EXPIRED: &str = "ExpiredTokenException";

fn is_expired(found: &Result<SchemaText, RegistryError>) -> bool {
    matches!(found, Err(RegistryError::Refused { answer, .. }) if answer.contains(EXPIRED))
}

#[cfg(test)]
mod tests;
