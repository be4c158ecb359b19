//! Percent-encoding and queries (RFC 3986), for bytes that need not be text.

use alloc::{string::String, vec::Vec};

/// Appends `bytes` to `out`, everything but unreserved characters escaped.
pub(super) fn percent_encode(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
            }
        }
    }
}

/// The bytes that `text` stands for. `+` is itself: no client means a space by it in a hash. `None` for a broken escape.
pub(super) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            byte => byte,
        });
    }
    Some(bytes)
}

/// The parameters of a query in order, neither name nor value decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unreserved_characters_stay_and_all_else_is_escaped() {
        let mut out = String::new();
        percent_encode(&mut out, b"azAZ09-._~ +/%\x00\xff");
        assert_eq!(out, "azAZ09-._~%20%2B%2F%25%00%FF");
    }

    #[test]
    fn broken_escapes_are_refused() {
        for text in ["%", "%1", "%g0", "%0g", "a%+1"] {
            assert_eq!(percent_decode(text), None, "{text}");
        }
        assert_eq!(percent_decode("a+%2b%2B").as_deref(), Some(&b"a+++"[..]));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut out = String::new();
            percent_encode(&mut out, &bytes);
            prop_assert_eq!(percent_decode(&out), Some(bytes));
        }
    }
}
