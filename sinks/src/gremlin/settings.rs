//! What can be set.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::retry::RetrySettings;

/// The graph database, Neptune or another that speaks Gremlin over WebSockets, and how it is reached.
#[derive(Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GremlinSettings {
    /// `ws://host:port/gremlin`, or `wss://` for TLS, which Neptune asks for:
    /// `wss://CLUSTER.cluster-ID.REGION.neptune.amazonaws.com:8182/gremlin`, the cluster's (writer's) endpoint. The path
    /// is always `/gremlin`.
    pub endpoint: String,
    /// How values reach the server.
    pub flavor: Flavor,
    /// In which form elements are written.
    pub upserts: UpsertForm,
    /// The user, where the server asks for one (SASL PLAIN).
    pub user: Option<String>,
    /// A file whose content, without a line end at its end, is the user's password.
    pub password_file: Option<PathBuf>,
    /// Whether the server's certificate is checked. A private authority's certificate belongs into the system's trust store,
    /// or into the file that the environment variable `SSL_CERT_FILE` names; leave this on.
    pub verify_certificate: bool,
    /// The most elements that one request writes.
    pub request_elements: NonZeroUsize,
    /// The most steps of the statements of one request; with `neptune` alone, whose limit is 1,500 or so.
    pub request_steps: NonZeroUsize,
    /// The largest request, in bytes. An element that alone is larger is refused. Gremlin Server takes requests up to its
    /// `maxContentLength`: 10 MiB by default, 64 KiB with some versions.
    pub request_bytes: NonZeroUsize,
    /// How the server is tried again.
    pub retry: RetrySettings,
}

/// How values reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Flavor {
    /// As bindings of a script that stays the same, so that the server compiles it once. For servers that evaluate Groovy:
    /// Gremlin Server, JanusGraph.
    #[default]
    Tinkerpop,
    /// As literals, within what Neptune supports. For any server.
    Neptune,
}

/// In which form elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpsertForm {
    /// `merge` where the server has it, else `coalesce`; found out with each new connection.
    #[default]
    Detect,
    /// `mergeV()` and `mergeE()`: TinkerPop 3.6, Neptune engine 1.2.1.0, and later.
    Merge,
    /// `fold().coalesce(unfold(), …)`.
    Coalesce,
}

impl Default for GremlinSettings {
    fn default() -> Self {
        const ELEMENTS: NonZeroUsize = NonZeroUsize::new(150).unwrap();
        const STEPS: NonZeroUsize = NonZeroUsize::new(1_500).unwrap();
        const BYTES: NonZeroUsize = NonZeroUsize::new(60_000).unwrap();
        Self {
            endpoint: "ws://127.0.0.1:8182/gremlin".to_owned(),
            flavor: Flavor::Tinkerpop,
            upserts: UpsertForm::Detect,
            user: None,
            password_file: None,
            verify_certificate: true,
            request_elements: ELEMENTS,
            request_steps: STEPS,
            request_bytes: BYTES,
            retry: RetrySettings::default(),
        }
    }
}

/// Without the user information of the endpoint, which is not to be there, but may be, and with a password.
impl fmt::Debug for GremlinSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            flavor,
            upserts,
            user,
            password_file,
            verify_certificate,
            request_elements,
            request_steps,
            request_bytes,
            retry,
        } = self;
        f.debug_struct("GremlinSettings")
            .field("endpoint", &without_user(endpoint))
            .field("flavor", flavor)
            .field("upserts", upserts)
            .field("user", user)
            .field("password_file", password_file)
            .field("verify_certificate", verify_certificate)
            .field("request_elements", request_elements)
            .field("request_steps", request_steps)
            .field("request_bytes", request_bytes)
            .field("retry", retry)
            .finish()
    }
}

/// An endpoint as it may be shown: without what comes before an `@`, be the rest a URL or not. A password may hold any
/// other character, so that the last `@` counts.
pub(super) fn without_user(endpoint: &str) -> String {
    let Some((user, rest)) = endpoint.rsplit_once('@') else { return endpoint.to_owned() };
    let scheme = ["ws://", "wss://"].into_iter().find(|scheme| user.starts_with(scheme)).unwrap_or_default();
    format!("{scheme}{rest}")
}

/// An endpoint in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As the client puts it into its URL: IPv6 addresses in brackets.
    pub host: String,
    pub port: u16,
    pub tls: bool,
}

impl Endpoint {
    /// By the very parser that the client uses, which panics on what it cannot read.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let shown = without_user(text);
        let wrong = |why: &str| Failure::Settings(format!("'{shown}' {why}; write ws://HOST:8182/gremlin or wss://…"));
        // Before anything else, and not by the parser, which may find another fault first.
        if text.contains('@') {
            return Err(wrong("names a user before an '@': set 'user' and 'password_file' instead"));
        }
        let url = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
        let tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(wrong("does not start with ws:// or wss://")),
        };
        if !matches!(url.path(), "/gremlin" | "/" | "") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has a path other than /gremlin"));
        }
        let host = url.host_str().ok_or_else(|| wrong("names no host"))?.to_owned();
        let port = url.port().unwrap_or(8182);
        Ok(Self { host, port, tls })
    }
}

/// The password in a file.
pub(super) fn password(path: &Path) -> Result<String, Failure> {
    let mut text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Settings(format!("cannot read the password in {}: {error}", path.display())))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_strictly() {
        let endpoint = |host: &str, port, tls| Ok(Endpoint { host: host.to_owned(), port, tls });
        let parse = |text| Endpoint::parse(text).map_err(|error| error.to_string());
        assert_eq!(parse("ws://localhost:8182/gremlin"), endpoint("localhost", 8182, false));
        assert_eq!(parse("wss://c.cluster-x.eu-west-1.neptune.amazonaws.com"), {
            endpoint("c.cluster-x.eu-west-1.neptune.amazonaws.com", 8182, true)
        });
        assert_eq!(parse("ws://[::1]:9000/gremlin"), endpoint("[::1]", 9000, false));
        for wrong in
            ["", "localhost:8182", "http://h/gremlin", "ws://h/other", "ws://u:p@h/gremlin", "ws://1.2.3.999", "ws://"]
        {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains("write ws://HOST:8182/gremlin"), "{said}");
        }
    }

    #[test]
    fn a_password_in_an_endpoint_is_never_told() {
        for endpoint in [
            "ws://reader:hunter2@graph:8182/gremlin",
            "wss://:hunter2@graph",
            "ws://hunter2@graph",
            "ws://reader:hunter2@graph:99999/gremlin",
            "ws://reader:hunter2@graph/other",
            "ws://reader:hunter2/?#@graph",
            "ws://reader:a@hunter2@graph",
            "http://reader:hunter2@graph/",
            "reader:hunter2@graph:8182",
        ] {
            let settings = GremlinSettings { endpoint: endpoint.to_owned(), ..GremlinSettings::default() };
            let shown = format!("{settings:?}");
            assert!(shown.contains("graph") && !shown.contains("hunter2"), "{shown}");
            let error = crate::gremlin::GremlinStore::new(settings).err().unwrap();
            let said = format!("{error} {error:?}");
            assert!(said.contains("names a user") && said.contains("graph"), "{said}");
            assert!(!said.contains("hunter2") && !said.contains("reader"), "{said}");
        }
        assert_eq!(without_user("wss://u:p@h:1/gremlin"), "wss://h:1/gremlin");
        assert_eq!(without_user("ws://h:1/gremlin"), "ws://h:1/gremlin");
    }

    #[test]
    fn a_password_ends_before_the_end_of_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "se cret \r\n").unwrap();
        assert_eq!(password(&path).unwrap(), "se cret ");
        let missing = password(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
