use core::fmt;

use ureq_proto::http::Uri;

use super::HttpError;

/// An absolute `http` or `https` URL, fit to be sent.
///
/// Torrents and redirects hold URLs that no standard allows. What is unambiguous is repaired (characters that belong
/// percent-encoded in a path or query), the rest is refused. Percent-encoding that is already there is kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    uri: Uri,
    host: String,
    port: u16,
    encrypted: bool,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, HttpError> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        let Some((scheme, rest)) = split_scheme(text) else {
            return Err(HttpError::BadUrl("it has no scheme such as http://"));
        };
        let encrypted = if scheme.eq_ignore_ascii_case("http") {
            false
        } else if scheme.eq_ignore_ascii_case("https") {
            true
        } else {
            return Err(HttpError::UnsupportedScheme(scheme.chars().take(16).collect()));
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(HttpError::BadUrl("it has no host"));
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !authority.is_ascii() {
            return Err(HttpError::BadUrl("its host name is not ASCII"));
        }
        let target = escape(target);
        let slash = if target.starts_with('/') { "" } else { "/" };
        let scheme = if encrypted { "https" } else { "http" };
        let uri = format!("{scheme}://{authority}{slash}{target}");
        let uri: Uri = uri.parse().map_err(|_| HttpError::BadUrl("it is malformed"))?;

        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_owned();
        if host.is_empty() {
            return Err(HttpError::BadUrl("it has no host"));
        }
        // `port_u16` also gives `None` for a port that is empty or too large: only an absent one means the default.
        let after_user = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
        let has_port = after_user.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.ends_with(']'));
        let port = match uri.port_u16() {
            Some(0) => return Err(HttpError::BadUrl("its port is 0")),
            Some(port) => port,
            None if has_port => return Err(HttpError::BadUrl("its port is not a number up to 65535")),
            None if encrypted => 443,
            None => 80,
        };
        Ok(Self { uri, host, port, encrypted })
    }

    /// The URL that `location`, absolute or relative, means when it is found at this one.
    pub(super) fn join(&self, location: &str) -> Result<Self, HttpError> {
        let location = location.trim_matches(|c: char| c.is_ascii_whitespace());
        if split_scheme(location).is_some() {
            return Self::parse(location);
        }
        let scheme = if self.encrypted { "https" } else { "http" };
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let base = self.uri.path();
        let (path, query) = location.split_at(location.find(['?', '#']).unwrap_or(location.len()));
        let path = if path.starts_with('/') {
            remove_dot_segments(path)
        } else if path.is_empty() {
            base.to_owned()
        } else {
            let folder = base.rsplit_once('/').map_or("", |(folder, _)| folder);
            remove_dot_segments(&format!("{folder}/{path}"))
        };
        Self::parse(&format!("{scheme}://{authority}{path}{query}"))
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header: the host, and the port unless it is the scheme's own.
    pub(super) fn host_header(&self) -> String {
        let host = self.uri.host().unwrap_or_default();
        if self.port == if self.encrypted { 443 } else { 80 } { host.to_owned() } else { format!("{host}:{}", self.port) }
    }

    /// Whether the scheme is `https`.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(formatter)
    }
}

/// Splits `scheme:rest`, where `scheme` has the form that RFC 3986 (section 3.1) gives it.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let starts_well = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (starts_well && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))).then_some((scheme, rest))
}

/// Percent-encodes what may not stand in a path or query, and drops the fragment.
fn escape(target: &str) -> String {
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let mut escaped = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// RFC 3986, section 5.2.4, for a path that begins with a slash.
fn remove_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Url::parse(text).unwrap().to_string()
    }

    fn joined(base: &str, location: &str) -> String {
        Url::parse(base).unwrap().join(location).unwrap().to_string()
    }

    fn refused(text: &str) -> String {
        Url::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn percent_encoding_is_kept_byte_for_byte() {
        let text = "http://tracker.example:6969/announce?info_hash=%00%ff%Aa~_-.&key=%2F";
        assert_eq!(parsed(text), text);
    }

    #[test]
    fn what_needs_no_guess_is_repaired() {
        assert_eq!(parsed(" HTTP://a.example/a b/ü?x=<y>|z#top\n"), "http://a.example/a%20b/%C3%BC?x=%3Cy%3E%7Cz");
        assert_eq!(parsed("http://a.example?x=1"), "http://a.example/?x=1");
        assert_eq!(parsed("http://a.example"), "http://a.example/");
    }

    #[test]
    fn ports_default_to_the_schemes_own() {
        let url = Url::parse("https://a.example/").unwrap();
        assert_eq!((url.host(), url.port(), url.is_encrypted()), ("a.example", 443, true));
        assert_eq!(url.host_header(), "a.example");
        let url = Url::parse("http://user:secret@[2001:db8::1]:8080/").unwrap();
        assert_eq!((url.host(), url.port(), url.is_encrypted()), ("2001:db8::1", 8080, false));
        assert_eq!(url.host_header(), "[2001:db8::1]:8080");
        assert_eq!(Url::parse("http://[::1]/").unwrap().port(), 80);
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        assert_eq!(refused("tracker.example/announce"), "bad URL: it has no scheme such as http://");
        assert_eq!(refused(""), "bad URL: it has no scheme such as http://");
        assert_eq!(refused("http:announce"), "bad URL: it has no host");
        assert_eq!(refused("http:///announce"), "bad URL: it is malformed");
        assert_eq!(refused("http://bücher.example/"), "bad URL: its host name is not ASCII");
        assert_eq!(refused("http://a.example:0/"), "bad URL: its port is 0");
        assert!(refused("http://a.example:65536/").starts_with("bad URL"));
        assert!(refused("http://a.example:http/").starts_with("bad URL"));
        assert_eq!(refused("udp://a.example:80/"), "the scheme \"udp\" is not supported, only http and https are");
    }

    #[test]
    fn locations_are_resolved_as_the_standard_says() {
        let base = "http://user@a.example:81/b/c/d?q";
        for (location, expected) in [
            ("https://x.example/y", "https://x.example/y"),
            ("//x.example/y", "http://x.example/y"),
            ("/y?z", "http://user@a.example:81/y?z"),
            ("g", "http://user@a.example:81/b/c/g"),
            ("./g/", "http://user@a.example:81/b/c/g/"),
            ("?y", "http://user@a.example:81/b/c/d?y"),
            ("..", "http://user@a.example:81/b/"),
            ("../../../g", "http://user@a.example:81/g"),
            ("/a/./b/../c", "http://user@a.example:81/a/c"),
            ("g?a=../x:y", "http://user@a.example:81/b/c/g?a=../x:y"),
        ] {
            assert_eq!(joined(base, location), expected, "{location}");
        }
    }
}
