use core::fmt;

/// An extension that this engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Extension {
    /// `ut_metadata`: the metadata exchange (BEP 9).
    Metadata,
    /// `ut_pex`: peers tell of peers (BEP 11).
    PeerExchange,
    /// `lt_donthave`: a piece is taken back (BEP 54).
    DontHave,
}

impl Extension {
    /// All there are, in the order of [our ids](Extension::our_id).
    pub const ALL: [Extension; 3] = [Extension::Metadata, Extension::PeerExchange, Extension::DontHave];

    /// What handshakes call it.
    pub const fn name(self) -> &'static str {
        match self {
            Extension::Metadata => "ut_metadata",
            Extension::PeerExchange => "ut_pex",
            Extension::DontHave => "lt_donthave",
        }
    }

    /// The extension of that name, in exactly these letters.
    pub fn from_name(name: &[u8]) -> Option<Extension> {
        Extension::ALL.into_iter().find(|extension| extension.name().as_bytes() == name)
    }

    /// The id under which peers send it to us: the same on every connection, and never 0.
    pub const fn our_id(self) -> u8 {
        self as u8 + 1
    }

    /// What a peer means by `id`.
    pub fn from_our_id(id: u8) -> Option<Extension> {
        Extension::ALL.get(usize::from(id).checked_sub(1)?).copied()
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a handshake's `m` says of each extension: its id, that it is off, or nothing (BEP 10). Merged over all handshakes of a peer, it
/// is the table of the ids that it understands.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ExtensionIds([Option<u8>; Extension::ALL.len()]);

impl ExtensionIds {
    /// What our own handshakes say: everything, under [`Extension::our_id`].
    pub const OURS: ExtensionIds = ExtensionIds([Some(1), Some(2), Some(3)]);

    /// The id to send `extension` with; `None` if it was never named or was switched off.
    pub fn get(&self, extension: Extension) -> Option<u8> {
        self.mentioned(extension).filter(|id| *id != 0)
    }

    /// What was said of `extension`: `Some(0)` is that it is off, `None` that there was nothing said.
    pub fn mentioned(&self, extension: Extension) -> Option<u8> {
        self.0.get(extension as usize).copied().flatten()
    }

    /// Takes over what a later handshake of the same peer said, and leaves the rest as it is.
    pub fn merge(&mut self, later: &ExtensionIds) {
        for (known, said) in self.0.iter_mut().zip(later.0) {
            *known = said.or(*known);
        }
    }

    /// The same, where `extension` has this id; 0 says that it is off.
    #[must_use]
    pub fn with(mut self, extension: Extension, id: u8) -> ExtensionIds {
        if let Some(place) = self.0.get_mut(extension as usize) {
            *place = Some(id);
        }
        self
    }

    /// The same, where nothing is said of `extension`: what a first handshake says of an extension that is off.
    #[must_use]
    pub fn without(mut self, extension: Extension) -> ExtensionIds {
        if let Some(place) = self.0.get_mut(extension as usize) {
            *place = None;
        }
        self
    }
}

impl fmt::Debug for ExtensionIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mentioned = Extension::ALL.into_iter().filter_map(|extension| Some((extension.name(), self.mentioned(extension)?)));
        f.debug_map().entries(mentioned).finish()
    }
}
