//! A listener behind TLS and SASL, beside the plain one that the harness itself uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::servers::error::{Result, file};
use crate::servers::install::run;

/// Who the clients are, and what they know.
pub const USER: &str = "faultline";
/// The password of [`USER`].
pub const PASSWORD: &str = "not-a-secret";

/// How clients get in by the secured listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS; clients are nobody.
    Tls,
    /// TLS; clients show a certificate.
    MutualTls,
    /// TLS and SASL/SCRAM-SHA-512.
    Scram,
    /// SASL/OAUTHBEARER with tokens that nobody has signed ([`unsecured_token`]); clients have to show a fresh one every
    /// few seconds.
    OAuthBearer,
}

/// How often a client under [`Security::OAuthBearer`] has to show a token, in milliseconds.
const REAUTHENTICATE_MS: u32 = 3_000;

const SUBJECT: &str = "127.0.0.1";

/// Certificates of one broker and one client, signed by an authority of their own.
#[derive(Debug)]
pub(super) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes them in this folder.
    pub(super) fn make(dir: &Path) -> Result<Self> {
        let made = Self { dir: dir.join("tls") };
        fs::create_dir_all(&made.dir).map_err(file("create", &made.dir))?;
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        made.openssl(
            ["req", "-x509", "-days", "2", "-subj", "/CN=faultline-tests", "-keyout", "ca.key", "-out", "ca.pem"]
                .into_iter()
                .chain(key),
        )?;
        let extension = made.path("names");
        fs::write(&extension, format!("subjectAltName=IP:{SUBJECT}\n")).map_err(file("write", &extension))?;
        for name in ["broker", "client"] {
            let [key_file, request, certificate, both] =
                ["key", "csr", "crt", "pem"].map(|end| format!("{name}.{end}"));
            let subject = format!("/CN={name}");
            made.openssl(["req", "-subj", &subject, "-keyout", &key_file, "-out", &request].into_iter().chain(key))?;
            made.openssl([
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.pem",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                "names",
                "-out",
                &certificate,
            ])?;
            let parts = [&key_file, &certificate].map(|part| made.path(part));
            let text = parts.iter().map(|part| fs::read_to_string(part).map_err(file("read", part)));
            let text = text.collect::<Result<String>>()?;
            fs::write(made.path(&both), text).map_err(file("write", made.path(&both)))?;
        }
        Ok(made)
    }

    fn openssl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<()> {
        run(Command::new("openssl").args(args).current_dir(&self.dir))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Properties of a broker whose listener `SECURE` is secured in this way.
pub(super) fn broker_properties(security: Security, certificates: &Certificates) -> Vec<(String, String)> {
    let module = |module: &str, options: &str| format!("org.apache.kafka.common.security.{module} required {options};");
    let listener = |key: &str, value: String| (format!("listener.name.secure.{key}"), value);
    let protocol = match security {
        Security::Tls | Security::MutualTls => "SSL",
        Security::Scram => "SASL_SSL",
        Security::OAuthBearer => "SASL_PLAINTEXT",
    };
    let map = format!("PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:{protocol}");
    let mut properties = vec![("listener.security.protocol.map".to_owned(), map)];
    if protocol.ends_with("SSL") {
        properties.extend([
            listener("ssl.keystore.type", "PEM".to_owned()),
            listener("ssl.keystore.location", certificates.shown("broker.pem")),
            listener("ssl.truststore.type", "PEM".to_owned()),
            listener("ssl.truststore.location", certificates.shown("ca.pem")),
        ]);
    }
    match security {
        Security::Tls => {}
        Security::MutualTls => properties.push(listener("ssl.client.auth", "required".to_owned())),
        Security::Scram => properties.extend([
            listener("sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
            listener("scram-sha-512.sasl.jaas.config", module("scram.ScramLoginModule", "")),
        ]),
        Security::OAuthBearer => {
            let login = "unsecuredLoginStringClaim_sub=\"broker\"";
            let unsecured = "oauthbearer.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler";
            properties.extend([
                listener("sasl.enabled.mechanisms", "OAUTHBEARER".to_owned()),
                listener("oauthbearer.sasl.jaas.config", module("oauthbearer.OAuthBearerLoginModule", login)),
                listener(
                    "oauthbearer.sasl.server.callback.handler.class",
                    format!("org.apache.kafka.common.security.{unsecured}"),
                ),
                listener("oauthbearer.connections.max.reauth.ms", REAUTHENTICATE_MS.to_string()),
            ]);
        }
    }
    properties
}

/// What a format of the broker's storage has to be told besides.
pub(super) fn format_options(security: Option<Security>) -> Vec<String> {
    match security {
        Some(Security::Scram) => {
            vec!["--add-scram".to_owned(), format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]")]
        }
        _ => Vec::new(),
    }
}

/// librdkafka's settings for clients of the secured listener.
pub(super) fn client_settings(security: Security, certificates: &Certificates) -> BTreeMap<String, String> {
    let authority = ("ssl.ca.location", certificates.shown("ca.pem"));
    let settings: Vec<(&str, String)> = match security {
        Security::Tls => vec![("security.protocol", "SSL".to_owned()), authority],
        Security::MutualTls => vec![
            ("security.protocol", "SSL".to_owned()),
            authority,
            ("ssl.certificate.location", certificates.shown("client.crt")),
            ("ssl.key.location", certificates.shown("client.key")),
        ],
        Security::Scram => vec![
            ("security.protocol", "SASL_SSL".to_owned()),
            authority,
            ("sasl.mechanism", "SCRAM-SHA-512".to_owned()),
            ("sasl.username", USER.to_owned()),
            ("sasl.password", PASSWORD.to_owned()),
        ],
        Security::OAuthBearer => {
            vec![("security.protocol", "SASL_PLAINTEXT".to_owned()), ("sasl.mechanism", "OAUTHBEARER".to_owned())]
        }
    };
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A token for [`Security::OAuthBearer`], good from `issued_at` for so long; both in seconds (since the Unix epoch).
pub fn unsecured_token(issued_at: i64, life: i64) -> String {
    let part = |json: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = serde_json::json!({"sub": USER, "iat": issued_at, "exp": issued_at + life});
    format!("{}.{}.", part(serde_json::json!({"alg": "none"})), part(claims))
}
