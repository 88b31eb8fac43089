//! What the fuzz targets share: a server that says what the fuzzer made up, and a look at how much
//! memory that costs.

mod memory;

use std::fmt::Debug;
use std::io::{self, Read, Write};

pub use memory::peak_of;

/// How many bytes one read brings: all, one, or a few.
const CUTS: [usize; 3] = [usize::MAX, 1, 7];

/// The far end of a connection: says what it was given, in pieces of one size, then hangs up; hears
/// everything.
#[derive(Debug)]
pub struct Script<'a> {
    rest: &'a [u8],
    cut: usize,
}

impl Read for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.rest.len().min(self.cut).min(buffer.len());
        let (said, rest) = self.rest.split_at(length);
        buffer[..length].copy_from_slice(said);
        self.rest = rest;
        Ok(length)
    }
}

impl Write for Script<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is made of this conversation, which must not depend on how the network cuts it, nor take
/// more than `memory` bytes.
pub fn however_cut<'a, A: PartialEq + Debug>(
    bytes: &'a [u8],
    memory: usize,
    speak: impl Fn(Script<'a>) -> A,
) -> A {
    let [answer, others @ ..] = CUTS.map(|cut| {
        let (answer, peak) = peak_of(|| speak(Script { rest: bytes, cut }));
        assert!(peak <= memory, "{peak} bytes of memory");
        answer
    });
    for other in others {
        assert_eq!(answer, other);
    }
    answer
}
