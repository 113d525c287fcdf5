//! Names of hosts, mailboxes and resources.

/// RFC 1123: labels of letters, digits and inner hyphens, at most 63 bytes each and 253 together.
pub(super) fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// RFC 5321 mailbox in ASCII: a dot-atom or a quoted string, `@`, and a host name or an address literal.
pub(super) fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_local = match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => is_quoted(quoted),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte)),
    };
    let is_domain = match domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // The tag is a word of ABNF, in which upper and lower case are one.
        Some(address) => match address.split_at_checked(5) {
            Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse::<std::net::Ipv6Addr>().is_ok(),
            _ => address.parse::<std::net::Ipv4Addr>().is_ok(),
        },
        None => is_hostname(domain),
    };
    local.len() <= 64 && is_local && is_domain
}

fn is_quoted(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next() } else { None };
        match (byte, escaped) {
            (b'\\', Some(b' '..=b'~')) => {}
            (b'\\', _) | (b'"', _) => return false,
            (b' '..=b'~', _) => {}
            _ => return false,
        }
    }
    true
}

fn is_atom_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// RFC 3986 URI: a scheme, a colon, and only characters that a URI may hold, with percent signs that escape.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (hierarchy, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = match hierarchy.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", hierarchy),
    };
    is_scheme
        && is_authority(authority)
        && holds_only(path, b":@/")
        && holds_only(query, b":@/?")
        && holds_only(fragment, b":@/?")
}

fn is_authority(authority: &str) -> bool {
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (is_host, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (is_ip_literal(address), port),
        None => {
            let (name, port) = host.find(':').map_or((host, ""), |colon| host.split_at(colon));
            (holds_only(name, b""), port)
        }
    };
    let is_port =
        port.is_empty() || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    holds_only(user, b":") && is_host && is_port
}

fn is_ip_literal(address: &str) -> bool {
    let future = |rest: &str| {
        rest.split_once('.').is_some_and(|(version, name)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !name.is_empty()
                && !name.contains('%')
                && holds_only(name, b":")
        })
    };
    match address.strip_prefix(['v', 'V']) {
        Some(rest) => future(rest),
        None => address.parse::<std::net::Ipv6Addr>().is_ok(),
    }
}

/// Unreserved characters, sub-delimiters, percent escapes, and `more`.
fn holds_only(text: &str, more: &[u8]) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(place, &byte)| {
        byte.is_ascii_alphanumeric()
            || b"-._~!$&'()*+,;=".contains(&byte)
            || more.contains(&byte)
            || byte == b'%' && bytes.get(place + 1..place + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames() {
        for good in ["localhost", "a.b-c.d1", "1and1.com", &format!("{}.x", "a".repeat(63))] {
            assert!(is_hostname(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a", "a-", "a_b", "a.", "ü.de", &"a".repeat(64), &"a.".repeat(127)] {
            assert!(!is_hostname(bad), "{bad}");
        }
    }

    #[test]
    fn mailboxes() {
        for good in [
            "a@b.c",
            "joe+x@example.com",
            r#""joe bloggs"@example.com"#,
            "a@[127.0.0.1]",
            "a@[IPv6:::1]",
            "a@[ipv6:::1]",
        ] {
            assert!(is_email(good), "{good}");
        }
        for bad in ["", "a", "@b", "a@", "a@b@c", ".a@b", "a..b@c", "a b@c", r#""a"b"@c"#, "a@[1.2.3]"] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn uris() {
        for good in
            ["http://a.b/c?d=e#f", "urn:dp:orders:created", "mailto:a@b", "s3://x/y%20z", "http://u:p@[::1]:80/", "a:"]
        {
            assert!(is_uri(good), "{good}");
        }
        for bad in ["", "/a/b", "http//x", "1a:b", "http://a b", "http://a/%zz", "http://[::1", "http://a:x/", "a:#b#c"]
        {
            assert!(!is_uri(bad), "{bad}");
        }
    }
}
