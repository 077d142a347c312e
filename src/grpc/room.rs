//! How large an answer gets. gRPC clients take 4 MiB unless they are told otherwise, so no answer is larger.

use prost::Message;

/// The largest answer about users, in bytes.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// So much of it is given out; the rest is for what stands around the parts.
const ROOM_BYTES: usize = 3 * 1024 * 1024;
/// What a part costs beside its own bytes: its tag and length.
const FRAME_BYTES: usize = 6;

/// What is left of an answer's room while its parts are given out.
pub struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ROOM_BYTES)
    }
}

impl Room {
    /// Takes the room of a part that stays, whether it is there or not.
    pub fn take(&mut self, part: &impl Message) {
        self.0 = self.0.saturating_sub(part.encoded_len() + FRAME_BYTES);
    }

    /// Takes the room of a part if it is there. Once a part has found none, no later one does: what an answer holds
    /// is the beginning of what was asked for, without holes.
    pub fn fits(&mut self, part: &impl Message) -> bool {
        self.fits_bytes(part.encoded_len())
    }

    /// Does so for a part of so many bytes.
    pub fn fits_bytes(&mut self, length: usize) -> bool {
        let left = self.0.checked_sub(length + FRAME_BYTES);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// Says that there is none left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_up_to_the_first_that_does_not() {
        let part = |len: usize| "x".repeat(len);
        let mut room = Room::default();
        room.take(&part(1_000_000));
        assert!(room.fits(&part(2_000_000)));
        assert!(!room.is_full());
        assert!(!room.fits(&part(1_000_000)));
        assert!(room.is_full());
        assert!(!room.fits(&part(1)));
    }
}
