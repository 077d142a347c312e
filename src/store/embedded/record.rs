//! A record's frame: version byte, sequence number, checksum, payload. Its key is its sequence number.

/// The version of the payload.
const VERSION: u8 = 1;
/// Version, sequence number, checksum.
const HEAD_BYTES: usize = 1 + 8 + 4;

/// Why bytes are no record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// It is of a version that this program does not know.
    Version,
    /// It is not what was written.
    Damaged,
}

/// Returns the key of a record.
pub fn key(sequence: u64) -> [u8; 8] {
    sequence.to_be_bytes()
}

/// Puts a payload into a frame.
pub fn seal(sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a record out of its frame: its sequence number and its payload.
///
/// # Errors
/// When it is not the record of that key, byte for byte.
pub fn unseal<'a>(record_key: &[u8], bytes: &'a [u8]) -> Result<(u64, &'a [u8]), Unreadable> {
    let (head, payload) = bytes.split_at_checked(HEAD_BYTES).ok_or(Unreadable::Damaged)?;
    let (checked, sum) = head.split_at(HEAD_BYTES - 4);
    if sum != checksum(checked, payload).to_le_bytes() {
        return Err(Unreadable::Damaged);
    }
    if checked[0] != VERSION {
        return Err(Unreadable::Version);
    }
    let sequence = u64::from_le_bytes(checked[1..].try_into().map_err(|_| Unreadable::Damaged)?);
    if record_key == key(sequence) { Ok((sequence, payload)) } else { Err(Unreadable::Damaged) }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_missing_byte_is_seen() {
        let bytes = seal(7, b"payload");
        assert_eq!(unseal(&key(7), &bytes), Ok((7, b"payload".as_slice())));
        assert!(unseal(&key(8), &bytes).is_err());
        for at in 0..bytes.len() {
            assert!(unseal(&key(7), &bytes[..at]).is_err());
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(unseal(&key(7), &flipped).is_err());
            }
        }
    }

    #[test]
    fn a_whole_record_of_another_version_is_told_from_a_damaged_one() {
        let mut bytes = seal(7, b"payload");
        bytes[0] = 2;
        let sum = checksum(&bytes[..9], b"payload").to_le_bytes();
        bytes[9..13].copy_from_slice(&sum);
        assert_eq!(unseal(&key(7), &bytes), Err(Unreadable::Version));
    }
}
