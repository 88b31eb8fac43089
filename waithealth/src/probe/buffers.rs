//! What an HTTP exchange writes and reads. ureq's own buffers are of one size from the start and
//! touched in full, which takes longer than the rest of a short exchange.

use ureq::unversioned::transport::Buffers;

/// Where the input begins: most answers fit.
const INPUT: usize = 4 * 1024;
/// The longest head of an answer.
pub(super) const HEAD_MAX: usize = 64 * 1024;
/// How far the input grows: beyond the longest head, so that a longer one is seen to be longer.
const INPUT_MAX: usize = 2 * HEAD_MAX;

/// Buffers of which the input grows with what comes.
#[derive(Debug)]
pub(super) struct Growing {
    pub(super) output: Vec<u8>,
    input: Vec<u8>,
    /// How much of the input was read and not used.
    filled: usize,
    /// Whether the last look at the input used any: otherwise it takes more of it to go on.
    useful: bool,
}

impl Growing {
    /// Buffers with this room for a request.
    pub(super) fn new(output: usize) -> Self {
        Self {
            output: vec![0; output],
            input: vec![0; INPUT],
            filled: 0,
            useful: false,
        }
    }
}

impl Buffers for Growing {
    fn output(&mut self) -> &mut [u8] {
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        &self.input[..self.filled]
    }

    /// Empty once the input is as long as it may be: then nothing more is read.
    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.filled == self.input.len() {
            self.input.resize(INPUT_MAX.min(2 * self.filled), 0);
        }
        &mut self.input[self.filled..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.input.copy_within(amount..self.filled, 0);
        self.filled -= amount;
        self.useful = amount > 0;
    }

    /// For the body of a request; ours have none.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut [], &mut self.output)
    }

    fn can_use_input(&self) -> bool {
        self.filled > 0 && self.useful
    }
}
