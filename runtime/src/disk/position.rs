//! Reads and writes at a position: no shared cursor, so that workers share a file without a lock.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSlice},
};

/// Reads until `buffer` is full or the file ends; the number of bytes read.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_once(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Writes all `slices`, none of which may be empty, one behind the other from `offset` on.
pub(crate) fn write_at(file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !slices.is_empty() {
        match write_once(file, slices, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                IoSlice::advance_slices(&mut slices, count);
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many bytes from `offset` on are known, without reading them, to be a hole in the file: zeros that take no room.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn hole_at(file: &File, offset: u64) -> u64 {
    use rustix::{fs::SeekFrom, io::Errno};
    // This moves the file's cursor, which nobody here uses.
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data.saturating_sub(offset),
        Err(Errno::NXIO) => file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(offset)),
        Err(_) => 0,
    }
}

/// How many bytes from `offset` on are known, without reading them, to be a hole in the file: none, here.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn hole_at(_file: &File, _offset: u64) -> u64 {
    0
}

/// Asks the system to begin to read these bytes, or the first of them: `read_at` follows soon.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn read_ahead(file: &File, offset: u64, length: u64) {
    /// More at once would wait for the disk here already.
    const MOST: u64 = 8 << 20;
    let length = std::num::NonZeroU64::new(length.min(MOST));
    let _ = rustix::fs::fadvise(file, offset, length, rustix::fs::Advice::WillNeed);
}

/// Asks the system to begin to read: not here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn read_ahead(_file: &File, _offset: u64, _length: u64) {}

/// Gives a file of `old_length` bytes its `length` and takes room on the disk for all of it. What is in it stays.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(crate) fn reserve(file: &File, old_length: u64, length: u64) -> io::Result<()> {
    use rustix::{fs::FallocateFlags, io::Errno};
    loop {
        return match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, length) {
            Err(Errno::INTR) => continue,
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => fill_with_zeros(file, old_length, length),
            other => Ok(other?),
        };
    }
}

/// Gives a file of `old_length` bytes its `length` and takes room on the disk for what is new. What is in it stays.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(crate) fn reserve(file: &File, old_length: u64, length: u64) -> io::Result<()> {
    fill_with_zeros(file, old_length, length)
}

/// Writes zeros from `start` to `end`, so that the room for them is taken.
fn fill_with_zeros(file: &File, start: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut at = start;
    while at < end {
        let length = (end - at).min(zeros.len() as u64);
        write_at(file, &mut [IoSlice::new(&zeros[..length as usize])], at)?;
        at += length;
    }
    Ok(())
}

#[cfg(unix)]
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_once(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
    target_vendor = "apple",
))]
fn write_once(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    /// IOV_MAX wherever this is built.
    const MOST: usize = 1024;
    Ok(rustix::io::pwritev(file, &slices[..slices.len().min(MOST)], offset)?)
}

#[cfg(all(
    unix,
    not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
        target_vendor = "apple",
    ))
))]
fn write_once(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, slices.first().map_or(&[], |slice| slice), offset)
}

#[cfg(windows)]
fn write_once(file: &File, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, slices.first().map_or(&[], |slice| slice), offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slices_than_one_call_takes_are_written_in_order() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let mut slices: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        write_at(&file, &mut slices, 3).unwrap();
        let mut read = vec![0; 6000];
        assert_eq!(read_at(&file, &mut read, 3).unwrap(), 5000);
        assert_eq!(read[..5000], bytes);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_an_error() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write_at(&full, &mut [IoSlice::new(b"x")], 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }

    #[cfg(unix)]
    #[test]
    fn room_is_taken_without_touching_what_is_there() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        write_at(&file, &mut [IoSlice::new(b"here")], 0).unwrap();
        reserve(&file, 4, 1 << 20).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 >= 1 << 20);
        let other = tempfile::tempfile().unwrap();
        write_at(&other, &mut [IoSlice::new(b"here")], 0).unwrap();
        fill_with_zeros(&other, 4, (3 << 20) + 5).unwrap();
        for (file, length) in [(file, 1 << 20), (other, (3 << 20) + 5)] {
            let mut read = vec![1; 4 << 20];
            assert_eq!(read_at(&file, &mut read, 0).unwrap(), length);
            assert_eq!(&read[..4], b"here");
            assert!(read[4..length].iter().all(|byte| *byte == 0));
        }
    }
}
