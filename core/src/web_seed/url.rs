use crate::{
    bencode::{self, Value},
    metainfo::Info,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};

/// Where a web seed has a file of a torrent (BEP 19); `None` if there is no such file.
///
/// For a single file that is `base` itself, with the torrent's name behind it if `base` ends in a slash; for several files `base` is
/// the folder that holds the torrent's. Names are meant as the torrent has them, not as they were made safe for our disk.
///
/// ```
/// use rustor_core::{metainfo::Info, web_seed::file_url};
///
/// let info = "d6:lengthi3e4:name5:a b.c12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
/// let info = Info::parse(info.into()).unwrap();
/// assert_eq!(file_url("http://mirror.example/pub/", &info, 0).unwrap(), "http://mirror.example/pub/a%20b.c");
/// assert_eq!(file_url("http://mirror.example/file", &info, 0).unwrap(), "http://mirror.example/file");
/// ```
pub fn file_url(base: &str, info: &Info, file: usize) -> Option<String> {
    let entry = info.files().get(file)?;
    // A fragment is no business of the server's.
    let base = base.split('#').next().unwrap_or_default();
    let mut url = String::with_capacity(base.len() + entry.path().len() + 16);
    for byte in base.bytes() {
        // What the torrent's maker forgot to escape; what is escaped stays so.
        if byte.is_ascii_graphic() { url.push(byte.into()) } else { push_escaped(byte, &mut url) }
    }
    let many = info.root().is_some();
    if !url.ends_with('/') {
        if !many {
            return Some(url);
        }
        url.push('/');
    }
    let components = original_path(info, file).unwrap_or_else(|| {
        let components = info.root().into_iter().chain(entry.components());
        components.map(|component| component.as_bytes().to_vec()).collect()
    });
    for (number, component) in components.iter().enumerate() {
        if number > 0 {
            url.push('/');
        }
        for byte in component {
            if is_unreserved(*byte) { url.push((*byte).into()) } else { push_escaped(*byte, &mut url) }
        }
    }
    Some(url)
}

/// Whether `url` is one that can be fetched from: others are to be ignored (BEP 19).
pub(super) fn is_supported(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_string()).unwrap_or_default();
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// Name and path as the torrent has them; `None` where following them could lead out of the torrent's folder.
fn original_path(info: &Info, file: usize) -> Option<Vec<Vec<u8>>> {
    let info_value = bencode::decode_lenient(info.raw()).ok()?.as_dictionary()?;
    let name = info_value.get(b"name.utf-8").and_then(|name| name.as_str()).filter(|name| !name.is_empty()).map(str::as_bytes);
    let name = name.or_else(|| info_value.get(b"name")?.as_bytes())?;
    let mut components = Vec::from([name.to_vec()]);
    if info.root().is_some() {
        let entry = info_value.get(b"files")?.as_list()?.iter().nth(file)?.as_dictionary()?;
        let is_text = |path: &Value<'_>| {
            path.as_list().and_then(|list| list.iter().next()).is_some_and(|first| first.as_str().is_some_and(|text| !text.is_empty()))
        };
        let path = entry.get(b"path.utf-8").filter(is_text).or_else(|| entry.get(b"path"))?;
        components.extend(path.as_list()?.iter().filter_map(|component| component.as_bytes()).map(<[u8]>::to_vec));
    }
    let strays = |component: &Vec<u8>| matches!(component.as_slice(), b"" | b"." | b"..");
    if components.iter().any(strays) { None } else { Some(components) }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn push_escaped(byte: u8, url: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    url.push('%');
    url.extend([byte >> 4, byte & 15].iter().filter_map(|digit| DIGITS.get(usize::from(*digit))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn tree(name: &str, path: &[&str]) -> Info {
        let path: String = path.iter().map(|component| format!("{}:{component}", component.len())).collect();
        let name = format!("{}:{name}", name.len());
        let info = format!("d5:filesld6:lengthi9e4:pathl{path}eee4:name{name}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae");
        Info::parse(info.into()).unwrap()
    }

    #[test]
    fn several_files_lie_below_the_folder_with_the_torrents_name() {
        let info = tree("michael", &["Readme.txt"]);
        // The example of BEP 19, and what those write who forget the slash.
        for base in ["http://mirror.com/pub/", "http://mirror.com/pub"] {
            assert_eq!(file_url(base, &info, 0).unwrap(), "http://mirror.com/pub/michael/Readme.txt");
        }
        assert_eq!(file_url("http://mirror.com/", &info, 1), None);
    }

    #[test]
    fn each_component_is_escaped() {
        let info = tree("a/b", &["50% ü?", "x#y&z+"]);
        assert_eq!(file_url("http://h/", &info, 0).unwrap(), "http://h/a%2Fb/50%25%20%C3%BC%3F/x%23y%26z%2B");
    }

    #[test]
    fn names_that_our_disk_does_not_take_are_asked_for_as_they_are() {
        let info = tree("CON", &["a:b", "aux.txt"]);
        assert_eq!(file_url("http://h/", &info, 0).unwrap(), "http://h/CON/a%3Ab/aux.txt");
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let url = file_url("http://h/pub/", &tree("..", &["..", "secret"]), 0).unwrap();
        assert!(!url.contains(".."), "{url}");
    }

    #[test]
    fn the_base_is_taken_as_it_is_but_for_what_no_url_may_hold() {
        let info = tree("n", &["f"]);
        assert_eq!(file_url("http://h/a%20b c/ü#top", &info, 0).unwrap(), "http://h/a%20b%20c/%C3%BC/n/f");
    }

    #[test]
    fn other_protocols_are_ignored() {
        assert!(is_supported("HTTP://h") && is_supported("https://h/"));
        assert!(!is_supported("ftp://h/") && !is_supported("h/file") && !is_supported(""));
    }
}
