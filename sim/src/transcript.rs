use sha1::{Digest, Sha1};
use std::fmt::{self, Debug, Write};

/// A running hash over everything that engines were told and said: equal hashes mean equal runs.
#[derive(Clone, Default)]
pub struct Transcript {
    hash: Sha1,
    entries: u64,
}

impl Transcript {
    /// Adds one entry: when, who, and what, in its debug form, which names every byte.
    pub fn add(&mut self, micros: u64, node: usize, what: &dyn Debug) {
        struct Sink<'a>(&'a mut Sha1);
        impl Write for Sink<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0.update(text.as_bytes());
                Ok(())
            }
        }
        self.entries += 1;
        // Hashing cannot fail.
        let _ = write!(Sink(&mut self.hash), "{micros} {node} {what:?}\n");
    }

    /// The hash so far, in hexadecimal.
    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// How many entries there are.
    pub fn entries(&self) -> u64 {
        self.entries
    }
}

impl Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries, {}", self.entries, self.hash())
    }
}
