//! What can go wrong between an incident and the person who has to know of it.

use std::{io, path::PathBuf};

use super::{secret::SecretError, settings::SettingsError};

/// A receiver was not told. Nothing here shows an address: that of a webhook is a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A secret cannot be had.
    #[error("cannot use `{setting}`")]
    Secret {
        /// Which setting.
        setting: String,
        /// Why not.
        source: SecretError,
    },
    /// The file of certificate authorities cannot be used.
    #[error("cannot read certificate authorities from {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The HTTP client cannot be made, or a request got no answer.
    #[error("no answer")]
    Http(#[source] reqwest::Error),
    /// No connection can be made.
    #[error("no connection")]
    Connect(#[source] io::Error),
    /// It could not be reached or took nothing when it was called last, and there was no reason to call it since.
    #[error("away for {seconds} s")]
    Away {
        /// For how long.
        seconds: u64,
    },
    /// It answered that it will not take the message, now or ever.
    #[error("refused with HTTP {status}{}", quoted(said))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        said: String,
    },
    /// It answered that it cannot take the message now.
    #[error("not taken, with HTTP {status}{}", quoted(said))]
    NotNow {
        /// The HTTP status.
        status: u16,
        /// The beginning of the answer.
        said: String,
    },
    /// It asked to be left alone, and that time is not over.
    #[error("{waiting} incidents wait: the receiver asked for no more during the next {seconds} s")]
    AskedToWait {
        /// How many.
        waiting: usize,
        /// How long from now.
        seconds: u64,
    },
    /// More would be beyond `per_minute`.
    #[error("{waiting} incidents wait: more messages than `per_minute` allows")]
    TooMany {
        /// How many.
        waiting: usize,
    },
}

fn quoted(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": \"{said}\"") }
}

impl WebhookError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Http(error) => !error.is_builder(),
            Self::Connect(_)
            | Self::Away { .. }
            | Self::NotNow { .. }
            | Self::AskedToWait { .. }
            | Self::TooMany { .. } => true,
            Self::Settings(_) | Self::Secret { .. } | Self::Authorities { .. } | Self::Refused { .. } => false,
        }
    }

    /// What somebody can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { status: 401 | 403 | 404 | 410, .. } => {
                Some("check the webhook's `url`, `routing_key` and `headers`, and whether the receiver still has it")
            }
            Self::NotNow { status: 300..=399, .. } => {
                Some("redirects are not followed: set the webhook's `url` to where the receiver is now")
            }
            Self::Http(_) | Self::Connect(_) | Self::Away { .. } => {
                Some("check that the receiver can be reached from here")
            }
            Self::TooMany { .. } => Some("raise the webhook's `per_minute` if the receiver can take more"),
            Self::Secret { .. } => Some("let the program's user read it"),
            _ => None,
        }
    }
}
