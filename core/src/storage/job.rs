use super::{Layout, Span};
use crate::util::Bitfield;
use alloc::{string::String, sync::Arc, vec::Vec};
use bytes::Bytes;
use smallvec::SmallVec;

/// The SHA-1 digest of a piece.
pub type Digest = [u8; 20];

/// The first 8 bytes of a block's SHA-1 digest: tells the sent blocks of a bad piece from the true ones.
pub type Fingerprint = [u8; 8];

/// What a disk worker is to do with one torrent's files.
///
/// `Open` comes first and is answered before anything else is asked; `Close` comes last, after everything else was answered.
///
/// What was verified is true of the files that were there then. A file that was found by `Open`, or made since, and that somebody took away
/// or replaced, is [missing](crate::error::DiskErrorKind::Missing), as far as the host can tell: it is not made anew, but `Prepare`, and
/// `Store` or `Read` where they need it, fail, until it is looked at by the next `Open`.
#[derive(Clone, Debug)]
pub enum DiskOperation {
    /// Learn the layout, and look at what is there. Creates nothing. Answered by [`DiskOutput::Opened`]. What is missing is no
    /// error; what is in the way is, such as a file where a folder must be.
    Open {
        /// The torrent's files.
        layout: Arc<Layout>,
        /// The folder that the files' paths are below, as the owner named it.
        folder: String,
        /// How files get their length.
        allocation: Allocation,
        /// The name of the part file, directly in the folder: what stored pieces hold of files that are not wanted is kept there.
        /// See [`Parts`](super::Parts) for where. A file that is not there while the part file is, is looked for in it.
        parts: String,
    },
    /// Make ready for these wanted files, at the beginning and whenever the owner's choice changes. Comes while stores and reads are
    /// under way, never together with another of its kind. Answered by [`DiskOutput::Done`].
    ///
    /// Of the wanted files: create their folders, the empty ones, and under [`Allocation::Full`] all the others at full length; cut
    /// what is longer than the torrent says; and what the part file holds of one goes to where it belongs. A file that is neither
    /// wanted nor there is kept aside from now on: what is stored of it goes to the part file. One that is there already stays, and
    /// is used. The part file is deleted once no file is kept in it. Padding files are never created.
    Prepare {
        /// A bit for each file of the layout.
        wanted: Bitfield,
    },
    /// Hash the segments as they lie; if the digest fits, write them, one vectored write a file.
    /// Answered by [`DiskOutput::Stored`] or [`DiskOutput::Mismatch`].
    Store {
        /// Which piece.
        piece: u32,
        /// Its bytes, in order.
        segments: Vec<Bytes>,
        /// Where they go, in order; padding files are left out of the writes but not of the hash.
        spans: SmallVec<[Span; 2]>,
        /// What they must hash to.
        digest: Digest,
        /// Whether the blocks' fingerprints are wanted even if the digest fits: an earlier copy did not.
        fingerprints: bool,
    },
    /// Read bytes of a verified piece. Answered by [`DiskOutput::Read`].
    Read {
        /// Where they are, in order.
        spans: SmallVec<[Span; 2]>,
        /// How many they are in all: at most [`Config::upload_read_limit`](crate::config::Config::upload_read_limit).
        length: u32,
    },
    /// Hash what is on disk of the pieces `first ..`, one for each digest. Missing and short files make pieces invalid, they are
    /// no error. Answered by [`DiskOutput::Verified`].
    Verify {
        /// The first piece.
        first: u32,
        /// 20 bytes a piece.
        digests: Bytes,
    },
    /// Write blocks of a piece that is not complete, without a look at its hash, so that the next session need not fetch them again.
    /// Answered by [`DiskOutput::Done`].
    Keep {
        /// Which piece.
        piece: u32,
        /// Runs of blocks, each with where it goes.
        runs: Vec<Kept>,
    },
    /// See to it that all writes answered so far outlive a failure of the power, then look at the files' sizes and times. Answered by
    /// [`DiskOutput::Stamps`].
    ///
    /// If files went away since they were opened, this fails as [missing](crate::error::DiskErrorKind::Missing), once; from then on they
    /// have no stamps.
    ///
    /// What is saved with the stamps is believed at the next start. A file's time alone does not show that its content was lost: systems
    /// write the two back in any order.
    Stamp,
    /// Replace the resume file whole: temporary file, fsync, rename. Answered by [`DiskOutput::Done`].
    SaveResume {
        /// Its new content.
        data: Bytes,
    },
    /// Close all files. Answered by [`DiskOutput::Done`].
    Close {
        /// Delete the resume file and the part file: nobody will come back to them.
        forget: bool,
        /// Delete the files, the part file, and the folders that this leaves empty.
        delete: bool,
    },
}

/// Blocks that lie side by side in a piece that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where they go, in order.
    pub spans: SmallVec<[Span; 2]>,
    /// Their bytes, in order.
    pub segments: Vec<Bytes>,
}

/// What came of a [`DiskOperation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOutput {
    /// What there is of each file, in the layout's order; `None` for a missing one that is not kept aside, and for padding.
    Opened(Vec<Option<FileStamp>>),
    /// The digest fitted and the bytes are where a crash of the process cannot take them back.
    /// One fingerprint a block if they were asked for, none otherwise.
    Stored(Vec<Fingerprint>),
    /// The digest did not fit and nothing was written. One fingerprint a block.
    Mismatch(Vec<Fingerprint>),
    /// The bytes.
    Read(Bytes),
    /// Whether each piece of the range is there and fits its digest, in order.
    Verified(Vec<bool>),
    /// The files' sizes and times, in the layout's order; `None` for a missing one that is not kept aside, for padding, and for one whose
    /// content may be lost when the power fails: it is looked at again at the next start.
    Stamps(Vec<Option<FileStamp>>),
    /// It is done.
    Done,
}

/// How a file gets its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allocation {
    /// Full length at once, room only for what was written.
    #[default]
    Sparse,
    /// Full length and room for it before the first byte is asked of a peer.
    Full,
}

/// What tells a changed file from an unchanged one without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    /// Bytes.
    pub length: u64,
    /// The time of its last modification, nanoseconds since 1970.
    pub modified: i64,
    /// The file is kept aside: length and time are the part file's.
    pub aside: bool,
}

impl FileStamp {
    /// Whether this is a file of its own that has all of its `length` bytes.
    pub fn is_whole(&self, length: u64) -> bool {
        !self.aside && self.length == length
    }
}
