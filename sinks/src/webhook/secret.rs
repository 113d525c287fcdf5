//! Texts that nobody may read in a log: tokens, keys, and addresses that hold them.

use std::{env, fmt, fs, io, path::Path, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

/// A secret, or where it is: `text`, `{file: PATH}` or `{env: NAME}`.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields, expecting = "a text, {file: PATH} or {env: NAME}")]
pub enum Secret {
    /// The secret itself.
    Text(String),
    /// A file that holds it and nothing else; a line end after it does not count.
    File {
        /// The file, relative to the configuration.
        file: PathBuf,
    },
    /// An environment variable that holds it.
    Env {
        /// Its name.
        env: String,
    },
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no such variable, or it is no UTF-8.
    #[error("cannot read the secret in the environment variable {name}")]
    Env {
        /// Its name.
        name: String,
        /// Why not.
        source: env::VarError,
    },
    /// There is nothing in it.
    #[error("the secret is empty")]
    Empty,
}

impl Secret {
    /// Reads it.
    ///
    /// # Errors
    /// File or variable cannot be read, or are empty.
    pub fn read(&self) -> Result<String, SecretError> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::File { file } => {
                let text =
                    fs::read_to_string(file).map_err(|source| SecretError::File { path: file.clone(), source })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            Self::Env { env } => env::var(env).map_err(|source| SecretError::Env { name: env.clone(), source })?,
        };
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(text) }
    }

    /// Has a relative file lie in `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        if let Self::File { file } = self {
            *file = folder.join(&*file);
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Says where it is, not what it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File { file } => write!(f, "file {}", file.display()),
            Self::Env { env } => write!(f, "env {env}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(json: serde_json::Value) -> Result<Secret, serde_json::Error> {
        serde_json::from_value(json)
    }

    #[test]
    fn a_secret_is_a_text_a_file_or_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "hunter2\n").unwrap();
        assert_eq!(secret(json!("hunter2")).unwrap().read().unwrap(), "hunter2");
        let mut file = secret(json!({"file": "token"})).unwrap();
        file.resolve(dir.path());
        assert_eq!(file.read().unwrap(), "hunter2");
        assert!(secret(json!({"env": "PATH"})).unwrap().read().is_ok());
        let missing = secret(json!({"env": "NO_SUCH_VARIABLE"})).unwrap().read().unwrap_err();
        assert!(missing.to_string().contains("NO_SUCH_VARIABLE"), "{missing}");
        assert!(matches!(Secret::from("").read(), Err(SecretError::Empty)));
        for wrong in [json!(5), json!({"path": "token"}), json!({"file": "a", "more": 1})] {
            assert!(secret(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::from("hunter2")), "***");
        assert_eq!(format!("{:?}", Secret::Env { env: "TOKEN".into() }), "env TOKEN");
    }
}
