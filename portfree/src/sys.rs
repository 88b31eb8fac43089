//! The system calls that std and nix do not offer: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

/// Reads a symbolic link into `buffer` and returns what fits of it (readlinkat(2)); `None` where
/// it cannot be read. Unlike nix's, it allocates nothing: this runs once per open file.
pub(crate) fn read_link_at<'a>(
    folder: BorrowedFd<'_>,
    name: &CStr,
    buffer: &'a mut [u8],
) -> Option<&'a [u8]> {
    let (to, room) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the descriptor is open and the name ends in NUL for the length of the call, which
    // writes at most `room` bytes to the buffer.
    let length = unsafe { libc::readlinkat(folder.as_raw_fd(), name.as_ptr(), to.cast(), room) };
    buffer.get(..usize::try_from(length).ok()?)
}

/// Reads as many entries of an open folder as fit into `buffer`, raw, and returns how many bytes
/// they take; 0 at the end (getdents(2)).
///
/// # Errors
/// ENOENT where what the folder stands for is gone.
pub(crate) fn read_folder(folder: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let (to, room) = (buffer.as_mut_ptr(), buffer.len());
    // SAFETY: the descriptor is open for the length of the call, which writes at most `room`
    // bytes to the buffer.
    let length = unsafe { libc::syscall(libc::SYS_getdents64, folder.as_raw_fd(), to, room) };
    Errno::result(length).map(|length| usize::try_from(length).unwrap_or(0))
}

/// Closes every descriptor but the standard streams (close_range(2), since Linux 5.9; an older
/// kernel leaves them open). To be called first of all.
pub(crate) fn close_what_was_inherited() {
    // SAFETY: nothing in this process owns a descriptor above the standard streams yet.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
