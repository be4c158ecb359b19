use super::{
    Info, Metainfo,
    error::Error,
    path::{Names, sanitise},
};
use crate::bencode;
use alloc::{string::String, vec::Vec};
use core::{fmt, ops::RangeInclusive};

/// The piece lengths that a new torrent may have, in bytes; powers of two only.
pub const PIECE_LENGTHS: RangeInclusive<u32> = 1 << 10..=1 << 28;

/// A torrent to be made: everything but the hashes of its pieces.
///
/// The same files give the same bytes, in whatever order they were listed: they are sorted. Trackers, comments and dates are set
/// on the [`Metainfo`] that comes out; none is there by itself.
///
/// ```
/// use rustor_core::metainfo::{Draft, Metainfo};
/// # fn hash_of(_piece: u32) -> [u8; 20] { [0; 20] }
///
/// let mut draft = Draft::folder("album", [(["cd 1", "b.flac"], 70_000), (["cd 1", "a.flac"], 20_000)])?;
/// draft.private = true;
/// assert_eq!(draft.files()[0].components, ["cd 1", "a.flac"]);
/// let hashes = (0..draft.piece_count()).map(hash_of);
/// let mut metainfo = draft.finish(hashes)?;
/// metainfo.trackers = vec![vec!["http://tracker.example/announce".into()]];
/// assert_eq!(Metainfo::parse(metainfo.to_bytes().into())?, metainfo);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Draft {
    name: String,
    is_folder: bool,
    files: Vec<DraftFile>,
    total_length: u64,
    piece_length: u32,
    /// Peers may come from the trackers alone (BEP 27).
    pub private: bool,
    /// The site that the torrent is for; gives it an info-hash of its own.
    pub source: Option<String>,
}

/// A file of a torrent to be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DraftFile {
    /// The path below the torrent's root; of a single file, its name.
    pub components: Vec<String>,
    /// The length in bytes.
    pub length: u64,
}

impl Draft {
    /// A torrent of one file.
    pub fn single_file(name: &str, length: u64) -> Result<Draft, DraftError> {
        Draft::new(name, false, Vec::from([DraftFile { components: Vec::from([name.into()]), length }]))
    }

    /// A torrent of a folder: of each file the path below it, component by component, and the length.
    pub fn folder<P, C>(name: &str, files: impl IntoIterator<Item = (P, u64)>) -> Result<Draft, DraftError>
    where
        P: IntoIterator<Item = C>,
        C: Into<String>,
    {
        let files = files.into_iter().map(|(path, length)| DraftFile { components: path.into_iter().map(Into::into).collect(), length });
        let mut files: Vec<DraftFile> = files.collect();
        files.sort_unstable();
        Draft::new(name, true, files)
    }

    fn new(name: &str, is_folder: bool, files: Vec<DraftFile>) -> Result<Draft, DraftError> {
        let mut names = Names::default();
        let mut total = 0i64;
        for file in &files {
            if let Some(unsafe_name) = file.components.iter().find(|component| sanitise(component.as_bytes()) != **component) {
                return Err(DraftError::UnsafeName { name: unsafe_name.clone() });
            }
            let path = file.components.join("/");
            if file.components.is_empty() || names.place(&file.components) != path {
                return Err(DraftError::Clash { path });
            }
            total = total.checked_add_unsigned(file.length).ok_or(DraftError::TotalTooLarge)?;
        }
        if files.is_empty() {
            return Err(DraftError::NoFiles);
        }
        if sanitise(name.as_bytes()) != name {
            return Err(DraftError::UnsafeName { name: name.into() });
        }
        let total_length = total.unsigned_abs();
        let piece_length = automatic_piece_length(total_length);
        Ok(Draft { name: name.into(), is_folder, files, total_length, piece_length, private: false, source: None })
    }

    /// Sets the piece length in bytes instead of the automatic one: a power of two in [`PIECE_LENGTHS`].
    pub fn set_piece_length(&mut self, bytes: u32) -> Result<(), DraftError> {
        if !bytes.is_power_of_two() || !PIECE_LENGTHS.contains(&bytes) {
            return Err(DraftError::PieceLength { bytes });
        }
        self.piece_length = bytes;
        Ok(())
    }

    /// The files in the torrent's order, which is the order in which to hash them.
    pub fn files(&self) -> &[DraftFile] {
        &self.files
    }

    /// The name of the file, or of the folder around all files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of all files together.
    pub fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes of every piece but the last.
    pub fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// How many hashes it takes.
    pub fn piece_count(&self) -> u32 {
        u32::try_from(self.total_length.div_ceil(u64::from(self.piece_length))).unwrap_or(u32::MAX)
    }

    /// The torrent, from the SHA-1 of each piece in order. Fails if they are too few or too many.
    pub fn finish(&self, hashes: impl IntoIterator<Item = [u8; 20]>) -> Result<Metainfo, Error> {
        let hashes: Vec<[u8; 20]> = hashes.into_iter().collect();
        let info = bencode::dictionary(|info| {
            if self.is_folder {
                info.key(b"files").list(|files| {
                    for file in &self.files {
                        files.item().dictionary(|entry| {
                            entry.key(b"length").unsigned(file.length);
                            entry.key(b"path").list(|path| file.components.iter().for_each(|component| path.item().str(component)));
                        });
                    }
                });
            } else {
                info.key(b"length").unsigned(self.total_length);
            }
            info.key(b"name").str(&self.name);
            info.key(b"piece length").unsigned(self.piece_length.into());
            info.key(b"pieces").bytes(hashes.as_flattened());
            if self.private {
                info.key(b"private").integer(1);
            }
            if let Some(source) = &self.source {
                info.key(b"source").str(source);
            }
        });
        Ok(Metainfo::from_info(Info::parse(info.into())?))
    }
}

/// A piece length for `total` bytes: the power of two from 16 KiB to 16 MiB that makes 1,000 to 2,000 pieces, as near as it can.
pub fn automatic_piece_length(total: u64) -> u32 {
    (14..24).map(|power| 1 << power).find(|length| total.div_ceil(u64::from(*length)) <= 2000).unwrap_or(1 << 24)
}

/// Why a torrent cannot be made of these files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DraftError {
    /// There are no files.
    NoFiles,
    /// A name that no system should be asked to use; clients would each call it something else.
    UnsafeName {
        /// The name.
        name: String,
    },
    /// Two paths that are the same, on some systems at least, or a file where another one's folder is.
    Clash {
        /// The second of them.
        path: String,
    },
    /// 2⁶³ bytes or more.
    TotalTooLarge,
    /// A piece length that is not among [`PIECE_LENGTHS`].
    PieceLength {
        /// The length in bytes.
        bytes: u32,
    },
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DraftError::NoFiles => f.write_str("there are no files to make a torrent of"),
            DraftError::UnsafeName { name } => {
                write!(f, "{name:?} is not a safe name on every system; rename it, to {:?} for example", sanitise(name.as_bytes()))
            }
            DraftError::Clash { path } => write!(f, "{path:?} and another file have the same name on some systems; rename one"),
            DraftError::TotalTooLarge => f.write_str("the files are larger than 2^63 - 1 bytes together"),
            DraftError::PieceLength { bytes } => write!(
                f,
                "the piece length must be a power of two from {} to {} bytes, not {bytes}",
                PIECE_LENGTHS.start(),
                PIECE_LENGTHS.end()
            ),
        }
    }
}

impl core::error::Error for DraftError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::BTreeMap, string::ToString, vec};

    #[test]
    fn automatic_pieces_number_one_to_two_thousand() {
        for (total, length) in [(0, 1 << 14), (1, 1 << 14), (2000 << 14, 1 << 14), ((2000 << 14) + 1, 1 << 15), (u64::MAX, 1 << 24)] {
            assert_eq!(automatic_piece_length(total), length, "{total}");
        }
        for power in 25..35 {
            let pieces = (1u64 << power) / u64::from(automatic_piece_length(1 << power));
            assert!((1000..=2000).contains(&pieces));
        }
    }

    #[test]
    fn a_single_file_is_written_in_canonical_form() {
        let draft = Draft::single_file("a b", 5).unwrap();
        let mut metainfo = draft.finish([*b"aaaaaaaaaaaaaaaaaaaa"]).unwrap();
        assert_eq!(metainfo.to_bytes(), b"d4:infod6:lengthi5e4:name3:a b12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee");
        metainfo.trackers = vec![vec!["http://t".into()]];
        assert!(metainfo.to_bytes().starts_with(b"d8:announce8:http://t4:infod"));
        metainfo.trackers.push(vec!["http://u".into()]);
        assert!(metainfo.to_bytes().starts_with(b"d8:announce8:http://t13:announce-listll8:http://tel8:http://uee4:infod"));
    }

    #[test]
    fn the_order_of_the_listing_does_not_matter() {
        let paths = [(vec!["b"], 1), (vec!["a", "z"], 2), (vec!["a-"], 3), (vec!["a", "é"], 0)];
        let mut backwards = paths.clone();
        backwards.reverse();
        let make = |paths| Draft::folder("x", paths).unwrap().finish([[0; 20]]).unwrap().to_bytes();
        assert_eq!(make(paths), make(backwards));
    }

    #[test]
    fn what_clients_would_rename_is_refused() {
        let folder = |paths: &[&str]| Draft::folder("x", paths.iter().map(|path| (path.split('/'), 1))).unwrap_err();
        assert_eq!(folder(&[]), DraftError::NoFiles);
        assert_eq!(folder(&["a/../b"]), DraftError::UnsafeName { name: "..".into() });
        assert_eq!(folder(&["NUL"]).to_string(), r#""NUL" is not a safe name on every system; rename it, to "_NUL" for example"#);
        assert_eq!(folder(&["a", "A"]), DraftError::Clash { path: "a".into() });
        assert_eq!(folder(&["a", "a/b"]), DraftError::Clash { path: "a/b".into() });
        assert_eq!(Draft::single_file("a/b", 1).unwrap_err(), DraftError::UnsafeName { name: "a/b".into() });
        assert_eq!(Draft::single_file("a", 1 << 63).unwrap_err(), DraftError::TotalTooLarge);
        let no_path: [(Vec<String>, u64); 1] = [(vec![], 1)];
        assert_eq!(Draft::folder("x", no_path).unwrap_err(), DraftError::Clash { path: "".into() });
    }

    #[test]
    fn the_piece_length_is_a_power_of_two_and_the_hashes_fit_it() {
        let mut draft = Draft::single_file("a", 100_000).unwrap();
        for bytes in [0, 1, 512, 16383, 49152, 1 << 29, u32::MAX] {
            assert_eq!(draft.set_piece_length(bytes), Err(DraftError::PieceLength { bytes }));
        }
        draft.set_piece_length(1 << 15).unwrap();
        assert_eq!((draft.piece_length(), draft.piece_count()), (1 << 15, 4));
        assert_eq!(draft.finish([[0; 20]; 3]), Err(Error::PieceCount { expected: 4, found: 3 }));
        assert_eq!(draft.finish([[0; 20]; 4]).unwrap().info.piece_size(3), Some(100_000 - 3 * (1 << 15)));
    }

    proptest! {
        #[test]
        fn what_is_made_reads_back(
            files in prop::collection::btree_map("[a-d]{1,3}", 0u64..100_000, 1..20),
            private: bool,
            source in prop::option::of(".{0,10}"),
            comment in prop::option::of(".{0,10}"),
            creation_date: Option<i64>,
            trackers in prop::collection::btree_set("http://[a-z]{1,5}", 0..6),
        ) {
            let folders: BTreeMap<_, _> = files.iter().map(|(name, length)| (["folder".into(), name.clone()], *length)).collect();
            let mut draft = Draft::folder("root", folders).unwrap();
            draft.private = private;
            draft.source = source.clone();
            let mut metainfo = draft.finish((0..draft.piece_count()).map(|piece| [piece as u8; 20])).unwrap();
            metainfo.trackers = trackers.into_iter().collect::<Vec<_>>().chunks(2).map(<[String]>::to_vec).collect();
            metainfo.comment = comment;
            metainfo.creation_date = creation_date;

            let bytes = metainfo.to_bytes();
            let read = Metainfo::parse(bytes.clone().into()).unwrap();
            prop_assert_eq!(&read, &metainfo);
            prop_assert_eq!(read.to_bytes(), bytes);
            prop_assert_eq!((read.info.is_private(), read.info.source()), (private, source.as_deref()));
            let lengths: Vec<_> = read.info.files().iter().map(|file| (file.path().replace("folder/", ""), file.length())).collect();
            prop_assert_eq!(lengths, files.into_iter().collect::<Vec<_>>());
            let sizes: u64 = (0..).map_while(|piece| read.info.piece_size(piece)).map(u64::from).sum();
            prop_assert_eq!(sizes, read.info.total_length());
        }
    }
}
