//! The system calls that std and nix do not offer: the only file of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

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
