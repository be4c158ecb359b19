use crate::wire::PeerId;
use alloc::{
    format,
    string::{String, ToString},
};

/// What to call the client of a peer: what its extension handshake says (`v`, BEP 10), if it says something, or else what its peer id
/// says (BEP 20). `None` if neither can be read.
pub fn client_name(peer_id: &PeerId, said: Option<&str>) -> Option<String> {
    match said {
        Some(said) if !said.trim().is_empty() => Some(said.trim().into()),
        _ => from_peer_id(&peer_id.0),
    }
}

fn from_peer_id(id: &[u8; 20]) -> Option<String> {
    odd_style(id).or_else(|| azureus_style(id)).or_else(|| mainline_style(id)).or_else(|| shadow_style(id))
}

/// `-TR4060-`: a code of two characters, a version of four, each a digit of its own.
fn azureus_style(id: &[u8; 20]) -> Option<String> {
    let [b'-', first, second, version @ ..] = id else { return None };
    let version: [u8; 4] = version.first_chunk().copied()?;
    if !(first.is_ascii_alphanumeric() && (second.is_ascii_alphanumeric() || *second == b'~')) {
        return None;
    }
    // FlashGet leaves the final dash out; it is not asked for from anyone.
    if !version.iter().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'-' | b'.')) {
        return None;
    }
    let code = [*first, *second];
    let known = AZUREUS_STYLE.iter().find(|(known, _)| **known == code).map(|(_, name)| *name);
    // Transmission before version 4 put the minor version in two digits: 2.94 was 2940, 2.84+ was 284Z.
    let numbers = match (&code, version) {
        (b"TR", [b'0', b'0', b'0', minor]) => format!("0.{}", char::from(minor)),
        (b"TR", [b'0', b'0', tens, ones]) => format!("0.{}{}", char::from(tens), char::from(ones)),
        (b"TR", [major @ b'1'..=b'3', tens, ones, _]) => format!("{}.{}{}", char::from(major), char::from(tens), char::from(ones)),
        _ => dotted(&version),
    };
    match known {
        Some(name) => Some(format!("{name} {numbers}")),
        None => Some(format!("{}{} {numbers}", char::from(*first), char::from(*second))),
    }
}

/// `M7-9-2--`: Mainline, with a version between dashes.
fn mainline_style(id: &[u8; 20]) -> Option<String> {
    let (name, rest) = match id {
        [b'M', rest @ ..] => ("Mainline", rest),
        [b'Q', rest @ ..] => ("Queen Bee", rest),
        _ => return None,
    };
    let version = rest.get(..7)?;
    let mut parts = version.split(|byte| *byte == b'-').filter(|part| !part.is_empty());
    let [major, minor, tiny] = [parts.next()?, parts.next()?, parts.next()?];
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let sound = version.ends_with(b"-") && parts.next().is_none() && digits(major) && digits(minor) && digits(tiny);
    sound.then(|| format!("{name} {}.{}.{}", major.escape_ascii(), minor.escape_ascii(), tiny.escape_ascii()))
}

/// `S58B-----`: one letter, up to five digits of a version, dashes.
fn shadow_style(id: &[u8; 20]) -> Option<String> {
    let [letter, version @ ..] = id;
    let (_, name) = SHADOW_STYLE.iter().find(|(known, _)| known == letter)?;
    let (version, dashes) = version.split_at_checked(5)?;
    let length = version.iter().position(|byte| *byte == b'-').unwrap_or(5);
    let (version, padding) = version.split_at_checked(length)?;
    let sound = !version.is_empty() && version.iter().all(u8::is_ascii_alphanumeric);
    let padded = padding.iter().all(|byte| *byte == b'-') && dashes.starts_with(b"---");
    (sound && padded).then(|| format!("{name} {}", dotted_all(version)))
}

/// Clients with a form of their own.
fn odd_style(id: &[u8; 20]) -> Option<String> {
    let digits = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    match id {
        [b'-', b'M', b'L', rest @ ..] => {
            let version = rest.split(|byte| *byte == b'-').next()?;
            let sound = version.contains(&b'.') && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
            sound.then(|| format!("MLDonkey {}", version.escape_ascii()))
        }
        [b'-', b'B', b'O', b'W', ..] => Some("Bits on Wheels".to_string()),
        [b'-', b'G', b'3', ..] => Some("G3 Torrent".to_string()),
        [b'e', b'x', b'b', b'c', major, minor, b'L', b'O', b'R', b'D', ..] => Some(format!("BitLord {major}.{minor:02}")),
        [b'e', b'x', b'b', b'c', major, minor, ..] | [b'F', b'U', b'T', b'B', major, minor, ..] => {
            Some(format!("BitComet {major}.{minor:02}"))
        }
        [b'X', b'B', b'T', version @ ..] => {
            let version: &[u8; 3] = version.first_chunk().filter(|version| digits(*version))?;
            Some(format!("XBT Client {}", dotted_all(version)))
        }
        [b'O', b'P', build @ ..] => {
            let build: &[u8; 4] = build.first_chunk().filter(|build| digits(*build))?;
            Some(format!("Opera {}", build.escape_ascii()))
        }
        [b'A', b'Z', b'2', b'5', b'0', b'0', b'B', b'T', ..] => Some("BitTyrant".to_string()),
        [b'3', b'4', b'6', b'-', b'-', b'-', b'-', b'-', ..] => Some("TorrenTopia 1.90".to_string()),
        [0, major @ (2 | 3), b'B', b'S', ..] => Some(format!("BitSpirit {major}")),
        [major, minor, b'R', b'S', ..] if *major < 10 && *minor < 100 => Some(format!("Rufus {major}.{minor}")),
        [b'A', b'P', version @ ..] => {
            let version = version.get(..6)?.split(|byte| *byte == b'-').next().filter(|version| version.len() < 6)?;
            let sound = !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
            sound.then(|| format!("AllPeers {}", version.escape_ascii()))
        }
        _ => None,
    }
}

/// Each character a number of its own, without the zeros at the end beyond the second.
fn dotted(version: &[u8; 4]) -> String {
    let significant = version.iter().rposition(|digit| !matches!(digit, b'0' | b'-')).map_or(0, |last| last + 1);
    dotted_all(version.get(..significant.max(2)).unwrap_or(version))
}

fn dotted_all(version: &[u8]) -> String {
    let mut text = String::new();
    for digit in version {
        if !text.is_empty() {
            text.push('.');
        }
        match digit {
            b'0'..=b'9' => text.push(char::from(*digit)),
            // Beyond 9 the alphabets go on counting, as Shadow does.
            b'A'..=b'Z' => text.push_str(&(digit - b'A' + 10).to_string()),
            b'a'..=b'z' => text.push_str(&(digit - b'a' + 36).to_string()),
            _ => text.push('0'),
        }
    }
    text
}

/// The codes of BEP 20, and those of clients that came later.
const AZUREUS_STYLE: &[(&[u8; 2], &str)] = &[
    (b"7T", "aTorrent"),
    (b"AG", "Ares"),
    (b"A~", "Ares"),
    (b"AR", "Arctic"),
    (b"AV", "Avicora"),
    (b"AX", "BitPump"),
    (b"AZ", "Azureus"),
    (b"A2", "aria2"),
    (b"BB", "BitBuddy"),
    (b"BC", "BitComet"),
    (b"BF", "Bitflu"),
    (b"BG", "BTG"),
    (b"BI", "BiglyBT"),
    (b"BL", "BitLord"),
    (b"BP", "BitTorrent Pro"),
    (b"BR", "BitRocket"),
    (b"BS", "BTSlave"),
    (b"BT", "BitTorrent"),
    (b"BX", "~Bittorrent X"),
    (b"CD", "Enhanced CTorrent"),
    (b"CT", "CTorrent"),
    (b"DE", "Deluge"),
    (b"DP", "Propagate Data Client"),
    (b"EB", "EBit"),
    (b"ES", "electric sheep"),
    (b"FD", "Free Download Manager"),
    (b"FG", "FlashGet"),
    (b"FL", "Flud"),
    (b"FT", "FoxTorrent"),
    (b"FW", "FrostWire"),
    (b"FX", "Freebox BitTorrent"),
    (b"GS", "GSTorrent"),
    (b"GT", "go.torrent"),
    (b"HL", "Halite"),
    (b"HN", "Hydranode"),
    (b"KG", "KGet"),
    (b"KT", "KTorrent"),
    (b"LC", "LeechCraft"),
    (b"LH", "LH-ABC"),
    (b"LP", "Lphant"),
    (b"LT", "libtorrent"),
    (b"lt", "libTorrent"),
    (b"LW", "LimeWire"),
    (b"MO", "MonoTorrent"),
    (b"MP", "MooPolice"),
    (b"MR", "Miro"),
    (b"MT", "MoonlightTorrent"),
    (b"NX", "Net Transport"),
    (b"PD", "Pando"),
    (b"PI", "PicoTorrent"),
    (b"qB", "qBittorrent"),
    (b"QD", "QQDownload"),
    (b"QT", "Qt 4 Torrent example"),
    (b"RT", "Retriever"),
    (b"Ru", "RusTor"),
    (b"S~", "Shareaza alpha"),
    (b"SB", "~Swiftbit"),
    (b"SS", "SwarmScope"),
    (b"ST", "SymTorrent"),
    (b"st", "sharktorrent"),
    (b"SZ", "Shareaza"),
    (b"TL", "Tribler"),
    (b"TN", "TorrentDotNET"),
    (b"TR", "Transmission"),
    (b"TS", "Torrentstorm"),
    (b"TT", "TuoTu"),
    (b"TX", "Tixati"),
    (b"UL", "uLeecher!"),
    (b"UM", "µTorrent for Mac"),
    (b"UT", "µTorrent"),
    (b"UW", "µTorrent Web"),
    (b"VG", "Vagaa"),
    (b"WD", "WebTorrent Desktop"),
    (b"WT", "BitLet"),
    (b"WW", "WebTorrent"),
    (b"WY", "FireTorrent"),
    (b"XL", "Xunlei"),
    (b"XT", "XanTorrent"),
    (b"XX", "Xtorrent"),
    (b"ZT", "ZipTorrent"),
];

/// The letters of BEP 20.
const SHADOW_STYLE: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow's client"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT Bit Torrent"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(start: &[u8]) -> Option<String> {
        let mut id = [b'x'; 20];
        id[..start.len()].copy_from_slice(start);
        client_name(&PeerId(id), None)
    }

    #[test]
    fn two_letters_and_four_digits_name_most_clients() {
        for (start, expected) in [
            (&b"-AZ2060-"[..], "Azureus 2.0.6"),
            (b"-qB4650-", "qBittorrent 4.6.5"),
            (b"-qB5000-", "qBittorrent 5.0"),
            (b"-DE211s-", "Deluge 2.1.1.54"),
            (b"-LT20B0-", "libtorrent 2.0.11"),
            (b"-lt0D80-", "libTorrent 0.13.8"),
            (b"-TR2940-", "Transmission 2.94"),
            (b"-TR300Z-", "Transmission 3.00"),
            (b"-TR4060-", "Transmission 4.0.6"),
            (b"-TR0072-", "Transmission 0.72"),
            (b"-UT355W-", "µTorrent 3.5.5.32"),
            (b"-A~0100-", "Ares 0.1"),
            (b"-Ru0100-", "RusTor 0.1"),
            (b"-FG0180x", "FlashGet 0.1.8"),
        ] {
            assert_eq!(name(start).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_code_without_a_name_stands_for_itself() {
        assert_eq!(name(b"-wF2200-").as_deref(), Some("wF 2.2"));
        assert_eq!(name(b"-NP0201-").as_deref(), Some("NP 0.2.0.1"));
    }

    #[test]
    fn other_styles_are_known_too() {
        for (start, expected) in [
            (&b"M4-3-6--"[..], "Mainline 4.3.6"),
            (b"M4-20-8-", "Mainline 4.20.8"),
            (b"Q1-10-0-", "Queen Bee 1.10.0"),
            (b"S58B-----", "Shadow's client 5.8.11"),
            (b"T03I------", "BitTornado 0.3.18"),
            (b"exbc\x00\x38", "BitComet 0.56"),
            (b"exbc\x01\x02LORD", "BitLord 1.02"),
            (b"XBT054d-", "XBT Client 0.5.4"),
            (b"OP7685", "Opera 7685"),
            (b"-ML2.7.2-kgjjfkd", "MLDonkey 2.7.2"),
            (b"-BOWA0C-", "Bits on Wheels"),
            (b"AZ2500BT", "BitTyrant"),
            (b"346------", "TorrenTopia 1.90"),
            (b"\x00\x03BS", "BitSpirit 3"),
            (b"\x00\x07RSname", "Rufus 0.7"),
            (b"-G3name", "G3 Torrent"),
            (b"AP0.70-", "AllPeers 0.70"),
        ] {
            assert_eq!(name(start).as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_id_that_says_nothing_has_no_name() {
        for start in [&b""[..], b"\x00\x00\x00\x00", b"-\xff\xff0000-", b"-AZ\x00\x00\x00\x00-", b"Mxyz", b"S\xff---", b"----------"] {
            assert_eq!(name(start), None, "{}", start.escape_ascii());
        }
    }

    #[test]
    fn what_the_peer_says_of_itself_comes_first() {
        let id = PeerId(*b"-TR4060-xxxxxxxxxxxx");
        assert_eq!(client_name(&id, Some("Transmission 4.0.6 (38c164933e)")).as_deref(), Some("Transmission 4.0.6 (38c164933e)"));
        assert_eq!(client_name(&id, Some("  ")).as_deref(), Some("Transmission 4.0.6"));
    }

    #[test]
    fn each_code_is_there_once() {
        let codes: alloc::collections::BTreeSet<_> = AZUREUS_STYLE.iter().map(|(code, _)| code).collect();
        assert_eq!(codes.len(), AZUREUS_STYLE.len());
    }

    proptest! {
        #[test]
        fn any_id_has_a_printable_name_or_none(id: [u8; 20], style in 0..6usize) {
            let mut id = id;
            let start = [&b""[..], b"-", b"-ML", b"M1-", b"T", b"exbc"][style];
            id[..start.len()].copy_from_slice(start);
            if let Some(name) = client_name(&PeerId(id), None) {
                prop_assert!(!name.is_empty() && name.chars().all(|letter| !letter.is_control()));
            }
        }
    }
}
