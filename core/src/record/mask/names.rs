//! URLs and hosts under other names, and texts in which they stand.

use super::address::{Permutation, Way};
use crate::tracker::udp::url_data_of;
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::net::{IpAddr, SocketAddr};

/// What stands for what. It grows with what its owner names, and with nothing else.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    urls: Vec<Pair>,
    hosts: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    real: String,
    masked: String,
}

impl Names {
    /// What stands for a URL: of the same scheme and port, with a query if it has one, and a slash at the end if it has one.
    pub(super) fn mask_url(&mut self, url: &str) -> String {
        let real = tidy(url);
        if let Some(known) = self.urls.iter().find(|known| known.real == real) {
            return known.masked.clone();
        }
        let number = self.urls.len();
        let masked = match real.split_once("://") {
            // Nobody can use it anyway.
            None => format!("masked:{number}"),
            Some((scheme, rest)) => {
                let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let authority = authority.rsplit_once('@').map_or(authority, |(_, authority)| authority);
                let (host, port) = match authority.rsplit_once(':') {
                    Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, format!(":{port}")),
                    _ => (authority, String::new()),
                };
                let host = self.mask_host(host.trim_start_matches('[').trim_end_matches(']'));
                let path = behind.split('?').next().unwrap_or_default();
                let path = match path {
                    _ if behind.is_empty() => String::new(),
                    "/" if behind == "/" => "/".to_owned(),
                    path => format!("/masked-{number}{}", if path.ends_with('/') { "/" } else { "" }),
                };
                format!("{scheme}://{host}{port}{path}{}", if behind.contains('?') { "?masked" } else { "" })
            }
        };
        self.urls.push(Pair { real, masked: masked.clone() });
        masked
    }

    /// The URL that a masked one, or what was appended to one, stands for.
    pub(super) fn unmask_url(&self, url: &str) -> String {
        let known = self.urls.iter().filter_map(|known| Some((known, url.strip_prefix(&known.masked)?)));
        match known.min_by_key(|(_, rest)| rest.len()) {
            Some((known, rest)) => format!("{}{rest}", known.real),
            None => url.to_owned(),
        }
    }

    /// What UDP trackers are told of a URL (BEP 41).
    pub(super) fn unmask_url_data(&self, data: &[u8]) -> Vec<u8> {
        let known = self.urls.iter().find(|known| url_data_of(&known.masked).as_bytes() == data);
        known.map_or_else(|| data.to_vec(), |known| url_data_of(&known.real).as_bytes().to_vec())
    }

    /// What stands for a host's name, or for its address in text form.
    pub(super) fn mask_host(&mut self, host: &str) -> String {
        if let Some(known) = self.hosts.iter().find(|known| known.real == host) {
            return known.masked.clone();
        }
        let masked = format!("host-{}.invalid", self.hosts.len());
        self.hosts.push(Pair { real: host.to_owned(), masked: masked.clone() });
        masked
    }

    pub(super) fn unmask_host(&self, host: &str) -> String {
        self.hosts.iter().find(|known| known.masked == host).map_or_else(|| host.to_owned(), |known| known.real.clone())
    }

    /// A text for people: the hosts and addresses in it are replaced, and what might be a key is left out.
    pub(super) fn text(&self, permutation: &Permutation, way: Way, text: &str) -> String {
        let part_of_a_name = |character: char| character.is_alphanumeric() || ".:-_".contains(character);
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while !rest.is_empty() {
            let end = rest.find(|character| !part_of_a_name(character)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            let core = word.trim_matches(['.', ':', '-']);
            let (before, behind) = word.split_once(core).filter(|_| !core.is_empty()).unwrap_or((word, ""));
            out.push_str(before);
            out.push_str(&self.word(permutation, way, core));
            out.push_str(behind);
            let between = after.find(part_of_a_name).unwrap_or(after.len());
            let (between, after) = after.split_at(between);
            out.push_str(between);
            rest = after;
        }
        out
    }

    fn word(&self, permutation: &Permutation, way: Way, word: &str) -> String {
        // The host of a URL may be an address. It goes by the URL's other name everywhere, also where addresses of its kind are kept.
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (word, None),
        };
        let host = match way {
            Way::Mask => self.hosts.iter().find(|known| known.real == host).map(|known| known.masked.as_str()),
            Way::Unmask => self.hosts.iter().find(|known| known.masked == host).map(|known| known.real.as_str()),
        };
        match (host, port) {
            (Some(host), Some(port)) => return format!("{host}:{port}"),
            (Some(host), None) => return host.to_owned(),
            (None, _) => {}
        }
        if let Ok(ip) = word.parse::<IpAddr>() {
            return permutation.ip(way, ip).to_string();
        }
        if let Ok(address) = word.parse::<SocketAddr>() {
            return permutation.socket(way, address).to_string();
        }
        if way == Way::Mask && looks_like_a_key(word) { "…".to_owned() } else { word.to_owned() }
    }
}

/// A URL as requests are made of it: without a fragment, without an empty parameter at its end, what the torrent's maker forgot to escape
/// escaped.
fn tidy(url: &str) -> String {
    let url = url.trim().split('#').next().unwrap_or_default();
    let url = if url.contains('?') { url.trim_end_matches('&').trim_end_matches('?') } else { url };
    let mut tidy = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_graphic() { tidy.push(byte.into()) } else { tidy.push_str(&format!("%{byte:02X}")) }
    }
    tidy
}

/// Long, and letters mixed with digits: no word of any language.
fn looks_like_a_key(word: &str) -> bool {
    word.len() >= 16 && word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    const URLS: &[&str] = &[
        "http://tracker.example/announce",
        "https://user:secret@tracker.example:8443/0123456789abcdef/announce?passkey=fedcba9876543210&",
        "udp://tracker.example:6969",
        "udp://[2001:db8::1]:6969/announce?key=1",
        "http://mirror.example/pub/",
        "http://mirror.example/",
        "http://81.2.69.142:80/a b",
        "http://other.example/announce?",
        "wss://tracker.example/",
        "nonsense",
    ];

    #[test]
    fn a_masked_url_says_nothing_and_leads_to_the_real_one() {
        let mut names = Names::default();
        for url in URLS {
            let masked = names.mask_url(url);
            for secret in ["example", "secret", "passkey", "0123", "fedc", "db8", "81.2", "pub"] {
                assert!(!masked.contains(secret), "{masked}");
            }
            assert_eq!(masked, names.mask_url(url), "one name for one URL");
            assert_eq!(masked.ends_with('/'), url.ends_with('/'), "{url}: {masked}");
        }
        let led = |names: &mut Names, url: &str, more: &str| {
            let masked = names.mask_url(url) + more;
            names.unmask_url(&masked)
        };
        assert_eq!(led(&mut names, URLS[0], "?info_hash=1"), "http://tracker.example/announce?info_hash=1");
        let passkey = "https://user:secret@tracker.example:8443/0123456789abcdef/announce?passkey=fedcba9876543210&info_hash=1";
        assert_eq!(led(&mut names, URLS[1], "&info_hash=1"), passkey);
        assert_eq!(led(&mut names, URLS[4], "a%20file"), "http://mirror.example/pub/a%20file");
        assert_eq!(led(&mut names, URLS[5], "a%20file"), "http://mirror.example/a%20file");
        assert_eq!(led(&mut names, URLS[6], ""), "http://81.2.69.142:80/a%20b");
        assert_eq!(led(&mut names, URLS[7], "?info_hash=1"), "http://other.example/announce?info_hash=1");
    }

    #[test]
    fn the_tenth_name_is_not_taken_for_the_first() {
        let mut names = Names::default();
        let masked: Vec<_> = (0..30).map(|number| names.mask_url(&format!("http://h/{number}/announce"))).collect();
        for (number, masked) in masked.iter().enumerate() {
            assert_eq!(names.unmask_url(&format!("{masked}?x")), format!("http://h/{number}/announce?x"));
        }
    }

    #[test]
    fn udp_trackers_are_told_the_real_path() {
        let mut names = Names::default();
        for url in URLS {
            let masked = names.mask_url(url);
            if url.starts_with("udp") {
                assert_eq!(names.unmask_url_data(url_data_of(&masked).as_bytes()), url_data_of(url).as_bytes());
            }
        }
    }

    #[test]
    fn texts_lose_hosts_addresses_and_keys_and_get_the_first_two_back() {
        let (mut names, permutation) = (Names::default(), Permutation::new(Seed::from_u64(1)));
        names.mask_url("http://tracker.example:80/announce");
        let text = "cannot connect to tracker.example:80 (81.2.69.142:80, [2a00:1450::5]): passkey 0123456789abcdef is wrong.";
        let masked = names.text(&permutation, Way::Mask, text);
        for secret in ["tracker.example", "81.2.69.142", "2a00:1450::5", "0123456789abcdef"] {
            assert!(!masked.contains(secret), "{masked}");
        }
        assert!(masked.starts_with("cannot connect to host-0.invalid:80 (") && masked.ends_with("passkey … is wrong."), "{masked}");
        assert_eq!(names.text(&permutation, Way::Unmask, &masked), text.replace("0123456789abcdef", "…"));
    }

    #[test]
    fn a_tracker_at_an_address_of_a_private_network_is_not_betrayed_by_its_errors() {
        let (mut names, permutation) = (Names::default(), Permutation::new(Seed::from_u64(1)));
        names.mask_url("http://10.78.0.2:6969/announce");
        names.mask_url("http://[fd00::7]:6969/announce");
        let text = "10.78.0.2:6969 refused the connection, [fd00::7]:6969 too; not 10.78.0.3:6969.";
        let masked = names.text(&permutation, Way::Mask, text);
        assert_eq!(masked, "host-0.invalid:6969 refused the connection, [host-1.invalid]:6969 too; not 10.78.0.3:6969.");
        assert_eq!(names.text(&permutation, Way::Unmask, &masked), text);
    }
}
