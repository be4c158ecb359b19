//! Torrent files: reading, checking and creating them.
