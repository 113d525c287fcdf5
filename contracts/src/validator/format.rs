//! The forms of strings.

mod jdk;
mod net;
mod time;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::rule::Format;
use jdk::JdkPattern;

/// A form of strings, ready to be tried.
#[derive(Debug, Clone)]
pub(super) enum StringFormat {
    DateTime { strict: bool },
    Time { strict: bool },
    Date,
    Jdk(JdkPattern),
    Email,
    Uuid,
    Uri,
    Hostname,
    Ipv4,
    Ipv6,
    Base64,
}

impl StringFormat {
    /// # Errors
    /// Says why it cannot be judged, or not as a string.
    pub(super) fn new(format: &Format) -> Result<Self, String> {
        Ok(match format {
            Format::DateTime => Self::DateTime { strict: false },
            Format::Rfc3339DateTime => Self::DateTime { strict: true },
            Format::Time => Self::Time { strict: false },
            Format::Rfc3339Time => Self::Time { strict: true },
            Format::Date => Self::Date,
            Format::JdkPattern(pattern) => Self::Jdk(JdkPattern::parse(pattern)?),
            Format::Email => Self::Email,
            Format::Uuid => Self::Uuid,
            Format::Uri => Self::Uri,
            Format::Hostname => Self::Hostname,
            Format::Ipv4 => Self::Ipv4,
            Format::Ipv6 => Self::Ipv6,
            Format::Base64 => Self::Base64,
            Format::Integer { .. } | Format::Float32 => return Err("a format of numbers".to_owned()),
        })
    }

    /// Whether `text` is of this form.
    pub(super) fn admits(&self, text: &str) -> bool {
        match self {
            Self::DateTime { .. } | Self::Time { .. } | Self::Date | Self::Jdk(_) => self.instant(text).is_some(),
            Self::Email => net::is_email(text),
            Self::Uuid => is_uuid(text),
            Self::Uri => net::is_uri(text),
            Self::Hostname => net::is_hostname(text),
            Self::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
            Self::Base64 => STANDARD.decode(text).is_ok(),
        }
    }

    /// The time that `text` says, in nanoseconds: since 1970 for dates and date-times, since midnight for times; UTC
    /// where no offset is written. `None` where it is not of this form, or the form is not of times.
    pub(super) fn instant(&self, text: &str) -> Option<i128> {
        match self {
            Self::DateTime { strict } => time::date_time(text.as_bytes(), *strict),
            Self::Time { strict } => time::time(text.as_bytes(), *strict),
            Self::Date => time::date(text.as_bytes()),
            Self::Jdk(pattern) => pattern.instant(text),
            _ => None,
        }
    }
}

/// RFC 9562 text form: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
