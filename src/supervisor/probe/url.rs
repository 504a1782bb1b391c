//! The addresses that probes ask.

use std::fmt;

/// `scheme://host:port/path?query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// As written; `None` for the scheme's own.
    port: Option<u16>,
    /// With the query; begins with `/`.
    target: String,
}

impl Url {
    /// The address of a handler; `path` may lack its slash and carry a query.
    #[must_use]
    pub fn new(https: bool, host: &str, port: u16, path: &str) -> Self {
        Self { https, host: host.to_owned(), port: Some(port), target: target(path) }
    }

    /// Reads an absolute URL; `None` for another scheme or none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.rsplit('@').next().unwrap_or(authority);
        let (host, port) = split_port(authority)?;
        (!host.is_empty()).then(|| Self { https, host, port, target: target(path) })
    }

    /// Where a `Location` leads from here.
    #[must_use]
    pub fn join(&self, location: &str) -> Option<Self> {
        if location.contains("://") {
            return Self::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.https { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match location.as_bytes().first() {
            None | Some(b'#') => self.target.clone(),
            Some(b'/') => location.to_owned(),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => {
                let folder = path.rfind('/').map_or("/", |slash| &path[..=slash]);
                format!("{folder}{location}")
            }
        };
        Some(Self { target: self::target(&target), ..self.clone() })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.https { 443 } else { 80 })
    }

    /// What is asked of the server.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// `host:port` as the Host header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = bracketed(&self.host);
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

/// An IPv6 address in brackets, everything else as it is.
#[must_use]
pub fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest.strip_prefix(':') {
        None | Some("") => None,
        Some(port) => Some(port.parse().ok()?),
    };
    Some((host.to_owned(), port))
}

/// A path as it is sent: with its slash, without a fragment, blanks escaped.
fn target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut target = slash.to_owned();
    for c in path.chars() {
        match c {
            ' ' | '"' | '<' | '>' | '`' | '{' | '}' | '|' | '\\' | '^' => {
                target.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_ascii_graphic() => target.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    target.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_printed_as_it_is_asked() {
        let table = [
            (Url::new(false, "10.0.0.5", 8080, "/a?b=c"), "http://10.0.0.5:8080/a?b=c"),
            (Url::new(true, "fd00::1", 443, "x y"), "https://[fd00::1]:443/x%20y"),
            (Url::new(false, "h", 80, ""), "http://h:80/"),
        ];
        for (url, want) in table {
            assert_eq!(url.to_string(), want);
            assert_eq!(Url::parse(want), Some(url));
        }
    }

    #[test]
    fn a_location_is_read_from_where_it_was_found() {
        let from = Url::parse("http://h:81/a/b?c").unwrap();
        let table = [
            ("/x", "http://h:81/x"),
            ("x", "http://h:81/a/x"),
            ("?y", "http://h:81/a/b?y"),
            ("//other/x", "http://other/x"),
            ("https://h/x#f", "https://h/x"),
            ("", "http://h:81/a/b?c"),
        ];
        for (location, want) in table {
            assert_eq!(from.join(location).map(|url| url.to_string()).as_deref(), Some(want));
        }
        for bad in ["ftp://h/", "http://", "http://h:x/", "http://[::1"] {
            assert_eq!(from.join(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_no_line_break_gets_through(text in "\\PC{0,40}") {
            if let Some(url) = Url::parse(&text) {
                prop_assert!(!url.target().contains(['\r', '\n', ' ']));
            }
            let from = Url::new(false, "h", 1, &text);
            prop_assert!(!from.target().contains(['\r', '\n', ' ']));
            let _ = from.join(&text);
        }
    }
}
