use alloc::string::String;
use core::{fmt, str::FromStr};
use sha1::{Digest, Sha1};

/// What names a torrent everywhere: the SHA-1 of its info dictionary's bytes (BEP 3).
///
/// Shown as 40 hexadecimal digits; read from these or from the 32 of base32 that old magnet links use (BEP 9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// The info-hash of an info dictionary, given exactly as it stands in its file.
    pub fn of(info: &[u8]) -> InfoHash {
        InfoHash(Sha1::digest(info).into())
    }

    /// The 20 bytes as they go on the wire.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<[u8; 20]> for InfoHash {
    fn from(bytes: [u8; 20]) -> InfoHash {
        InfoHash(bytes)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InfoHash {
    type Err = InfoHashError;

    fn from_str(text: &str) -> Result<InfoHash, InfoHashError> {
        match text.len() {
            40 => from_hex(text),
            32 => from_base32(text),
            _ => None,
        }
        .map(InfoHash)
        .ok_or(InfoHashError)
    }
}

/// The text is no info-hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoHashError;

impl fmt::Display for InfoHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an info-hash is 40 hexadecimal or 32 base32 digits")
    }
}

impl core::error::Error for InfoHashError {}

/// Two lower-case hexadecimal digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// `N` bytes of exactly as many pairs of hexadecimal digits.
pub(super) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?) as u8;
    }
    Some(bytes)
}

/// RFC 4648's base32 in either case: 8 digits make 5 bytes.
fn from_base32(text: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let (groups, []) = text.as_bytes().as_chunks::<8>() else { return None };
    for (out, group) in bytes.chunks_exact_mut(5).zip(groups) {
        let mut bits = 0u64;
        for digit in group {
            let value = match digit.to_ascii_lowercase() {
                letter @ b'a'..=b'z' => letter - b'a',
                digit @ b'2'..=b'7' => digit - b'2' + 26,
                _ => return None,
            };
            bits = bits << 5 | u64::from(value);
        }
        out.iter_mut().zip(bits.to_be_bytes().into_iter().skip(3)).for_each(|(to, from)| *to = from);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn hexadecimal_and_base32_name_the_same_hash() {
        // RFC 4648's vector: "foobar" is MZXW6YTBOI; here 20 bytes, four groups without padding.
        let hash = InfoHash(*b"foobarfoobarfoobarfo");
        assert_eq!("MZXW6YTBOJTG633CMFZGM33PMJQXEZTP".parse(), Ok(hash));
        assert_eq!("mzxw6ytbojtg633cmfzgm33pmjqxeztp".parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "0", "MZXW6YTBOJTG633CMFZGM33PMJQXEZT1", &"g".repeat(40), &"é".repeat(20), &"+f".repeat(20)] {
            assert_eq!(text.parse::<InfoHash>(), Err(InfoHashError));
        }
    }

    #[test]
    fn the_hash_is_sha1() {
        assert_eq!(InfoHash::of(b"abc").to_string(), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    proptest! {
        #[test]
        fn both_texts_read_back(bytes: [u8; 20]) {
            let hash = InfoHash(bytes);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
            let mut base32 = String::new();
            for group in bytes.chunks(5) {
                let bits = group.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
                base32.extend((0..8).rev().map(|at| b"abcdefghijklmnopqrstuvwxyz234567"[(bits >> (5 * at)) as usize & 31] as char));
            }
            prop_assert_eq!(base32.parse(), Ok(hash));
        }
    }
}
