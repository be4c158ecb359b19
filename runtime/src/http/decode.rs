use core::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{GzDecoder, ZlibDecoder};

use super::HttpError;

/// What is handed to an unpacker at a time. It bounds how much output one step can make: deflate packs 1032 : 1 at best.
const STEP: usize = 4096;

/// Undoes a body's `Content-Encoding`, and stops at a given size of the result.
#[derive(Debug)]
pub(super) struct Decoder {
    kind: Kind,
    maximum: usize,
}

enum Kind {
    /// As it comes; holds how many bytes may still come.
    Identity(usize),
    Gzip(GzDecoder<Sink>),
    /// What HTTP calls deflate (RFC 9110, section 8.4.1.2).
    Zlib(ZlibDecoder<Sink>),
}

/// Takes unpacked bytes up to a budget.
struct Sink {
    output: Vec<u8>,
    budget: usize,
    is_over: bool,
}

impl Decoder {
    /// A decoder for the encoding that the header's value names (empty where there is none), for at most `maximum` bytes unpacked.
    pub(super) fn new(encoding: &str, maximum: usize) -> Result<Self, HttpError> {
        let sink = Sink { output: Vec::new(), budget: maximum, is_over: false };
        let encoding = encoding.trim().to_ascii_lowercase();
        let kind = match encoding.as_str() {
            "" | "identity" => Kind::Identity(maximum),
            "gzip" | "x-gzip" => Kind::Gzip(GzDecoder::new(sink)),
            "deflate" => Kind::Zlib(ZlibDecoder::new(sink)),
            _ => return Err(HttpError::UnsupportedEncoding(encoding.chars().take(32).collect())),
        };
        Ok(Self { kind, maximum })
    }

    pub(super) fn is_identity(&self) -> bool {
        matches!(self.kind, Kind::Identity(_))
    }

    /// Unpacks the next part. The result may be empty before the end.
    pub(super) fn decode(&mut self, packed: Bytes) -> Result<Bytes, HttpError> {
        let maximum = self.maximum;
        match &mut self.kind {
            Kind::Identity(budget) => {
                *budget = budget.checked_sub(packed.len()).ok_or(HttpError::TooLarge { maximum })?;
                Ok(packed)
            }
            Kind::Gzip(decoder) => {
                let result = feed(decoder, &packed);
                take(result, decoder.get_mut(), maximum)
            }
            Kind::Zlib(decoder) => {
                let result = feed(decoder, &packed);
                take(result, decoder.get_mut(), maximum)
            }
        }
    }

    /// Checks that nothing is missing after the last part, and returns what was held back.
    pub(super) fn finish(&mut self) -> Result<Bytes, HttpError> {
        let maximum = self.maximum;
        match &mut self.kind {
            Kind::Identity(_) => Ok(Bytes::new()),
            Kind::Gzip(decoder) => {
                let result = decoder.try_finish();
                take(result, decoder.get_mut(), maximum)
            }
            Kind::Zlib(decoder) => {
                let result = decoder.try_finish();
                take(result, decoder.get_mut(), maximum)
            }
        }
    }
}

fn feed(decoder: &mut impl Write, packed: &[u8]) -> io::Result<()> {
    for mut step in packed.chunks(STEP) {
        while !step.is_empty() {
            match decoder.write(step)? {
                // The end of the packed data. Some servers pad after it, and everyone ignores that.
                0 => return Ok(()),
                taken => step = step.get(taken..).unwrap_or_default(),
            }
        }
    }
    Ok(())
}

fn take(result: io::Result<()>, sink: &mut Sink, maximum: usize) -> Result<Bytes, HttpError> {
    if sink.is_over {
        return Err(HttpError::TooLarge { maximum });
    }
    result.map_err(|_| HttpError::Malformed("its compressed body is cut off or damaged".to_owned()))?;
    Ok(core::mem::take(&mut sink.output).into())
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.budget.checked_sub(bytes.len()) {
            Some(rest) => self.budget = rest,
            None => {
                self.is_over = true;
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        self.output.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Identity(_) => "Identity",
            Self::Gzip(_) => "Gzip",
            Self::Zlib(_) => "Zlib",
        })
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpack(encoding: &str, parts: &[&[u8]], maximum: usize) -> Result<Vec<u8>, HttpError> {
        let mut decoder = Decoder::new(encoding, maximum)?;
        let mut unpacked = Vec::new();
        for part in parts {
            unpacked.extend_from_slice(&decoder.decode(Bytes::copy_from_slice(part))?);
        }
        unpacked.extend_from_slice(&decoder.finish()?);
        Ok(unpacked)
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_bytes(body in prop::collection::vec(any::<u8>(), 0..5000), split in any::<prop::sample::Index>()) {
            let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
            zlib.write_all(&body).unwrap();
            for (encoding, packed) in [("identity", body.clone()), ("GZIP", gzip(&body)), ("deflate", zlib.finish().unwrap())] {
                let (first, second) = packed.split_at(split.index(packed.len() + 1));
                prop_assert_eq!(unpack(encoding, &[first, second], body.len()).unwrap(), body.clone());
            }
        }

        #[test]
        fn every_cut_is_found(body in prop::collection::vec(any::<u8>(), 0..500), cut in any::<prop::sample::Index>()) {
            let packed = gzip(&body);
            let packed = &packed[..cut.index(packed.len())];
            prop_assert!(matches!(unpack("gzip", &[packed], 1000), Err(HttpError::Malformed(_))));
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_limit() {
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(matches!(unpack("gzip", &[&bomb], 1 << 20), Err(HttpError::TooLarge { maximum: 0x10_0000 })));
    }

    #[test]
    fn one_byte_over_the_limit_is_too_large() {
        for (encoding, packed) in [("", b"12345".to_vec()), ("gzip", gzip(b"12345"))] {
            assert_eq!(unpack(encoding, &[&packed], 5).unwrap(), b"12345");
            assert!(matches!(unpack(encoding, &[&packed], 4), Err(HttpError::TooLarge { maximum: 4 })));
        }
    }

    #[test]
    fn damage_is_found_and_padding_is_not_damage() {
        let mut packed = gzip(b"hello");
        packed.extend_from_slice(&[0; 100]);
        assert_eq!(unpack("x-gzip", &[&packed], 10).unwrap(), b"hello");
        let checksum = packed.len() - 105;
        packed[checksum] ^= 1;
        assert!(matches!(unpack("gzip", &[&packed], 10), Err(HttpError::Malformed(_))));
    }

    #[test]
    fn an_unknown_encoding_is_refused() {
        assert_eq!(
            unpack("br\u{1b}", &[], 10).unwrap_err().to_string(),
            "the server's answer has the encoding \"br\\u{1b}\", not asked for"
        );
    }
}
