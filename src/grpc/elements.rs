//! How many things a message holds, counted in its bytes: two bytes of a request can become hundreds in memory, so
//! the count is bounded before anything is made of them.

use crate::pb;
use prost::bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{DescriptorPool, Kind, MessageDescriptor};
use std::collections::HashMap;
use std::sync::LazyLock;

/// The most messages, texts and numbers in lists of one request. A full batch of ingest holds less than half.
pub const ELEMENTS_MAX: usize = 200_000;
/// No element is smaller, so shorter requests need not be counted.
const ELEMENT_BYTES_MIN: usize = 2;
/// As deep as the decoder goes. What is deeper it refuses.
const DEPTH_MAX: usize = 100;

/// What must be known of a message to count its elements.
struct Shape {
    /// By field number.
    fields: Vec<Field>,
}

#[derive(Clone, Copy)]
enum Field {
    /// At most one value, or unknown to us.
    Plain,
    /// A message of the shape with this index.
    Message(usize),
    /// A list of texts.
    Texts,
    /// A list of numbers, one by one or packed.
    Numbers,
}

struct Shapes {
    all: Vec<Shape>,
    by_name: HashMap<String, usize>,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::of_all);

impl Shapes {
    fn of_all() -> Self {
        let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap_or_default();
        let by_name: HashMap<_, _> =
            pool.all_messages().enumerate().map(|(index, m)| (m.full_name().to_owned(), index)).collect();
        let all = pool.all_messages().map(|message| shape(&message, &by_name)).collect();
        Self { all, by_name }
    }
}

fn shape(message: &MessageDescriptor, by_name: &HashMap<String, usize>) -> Shape {
    let last = message.fields().map(|field| field.number()).max().unwrap_or(0) as usize;
    let mut fields = vec![Field::Plain; last + 1];
    for field in message.fields() {
        fields[field.number() as usize] = match field.kind() {
            Kind::Message(inner) => {
                by_name.get(inner.full_name()).map_or(Field::Plain, |i| Field::Message(*i))
            }
            Kind::String | Kind::Bytes if field.is_list() => Field::Texts,
            _ if field.is_list() => Field::Numbers,
            _ => Field::Plain,
        };
    }
    Shape { fields }
}

/// Says whether the bytes of a message of this name hold more elements than a request may have. Bytes that are no
/// message are left to the decoder.
#[must_use]
pub fn are_too_many(name: &str, bytes: &[u8]) -> bool {
    if bytes.len() / ELEMENT_BYTES_MIN <= ELEMENTS_MAX {
        return false;
    }
    let Some(shape) = SHAPES.by_name.get(name) else { return false };
    let mut count = 0;
    let _ = count_in(bytes, *shape, &mut count, DEPTH_MAX);
    count > ELEMENTS_MAX
}

/// Counts until there are too many, or until the bytes make no sense: then there is `None`.
fn count_in(mut bytes: &[u8], shape: usize, count: &mut usize, depth: usize) -> Option<()> {
    let fields = &SHAPES.all[shape].fields;
    while bytes.has_remaining() && *count <= ELEMENTS_MAX {
        let (number, wire) = decode_key(&mut bytes).ok()?;
        let field = fields.get(number as usize).copied().unwrap_or(Field::Plain);
        let value = value(&mut bytes, wire)?;
        match field {
            Field::Plain => {}
            Field::Texts => *count += 1,
            Field::Numbers => *count += value.len().max(1),
            Field::Message(inner) => {
                *count += 1;
                count_in(value, inner, count, depth.checked_sub(1)?)?;
            }
        }
    }
    Some(())
}

/// Takes a field's value off the bytes. Of what is not length-delimited the bytes do not matter.
fn value<'b>(bytes: &mut &'b [u8], wire: WireType) -> Option<&'b [u8]> {
    let length = match wire {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            return Some(&[]);
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        // proto3 has no groups.
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(if wire == WireType::LengthDelimited { value } else { &[] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    const BATCH: &str = "riskshare.v1.IngestActivitiesRequest";

    #[test]
    fn empty_messages_and_texts_and_packed_numbers_count() {
        let tag_and_length = |field: u8| [field << 3 | 2, 0];
        let many = |field: u8| tag_and_length(field).repeat(ELEMENTS_MAX + 1);
        assert!(are_too_many(BATCH, &many(2)), "activities");
        assert!(are_too_many(BATCH, &many(3)), "raw records");
        assert!(!are_too_many(BATCH, &many(15)), "a field that nobody knows is not kept");
        let mut packed = vec![3 << 3 | 2]; // PolicyRecord.indicators[0].daily_thresholds
        let inner = pb::PolicyIndicator { indicator: String::new(), daily_thresholds: vec![1; 500_000] };
        prost::encoding::encode_varint(inner.encoded_len() as u64, &mut packed);
        packed.extend(inner.encode_to_vec());
        assert!(are_too_many("riskshare.v1.PolicyRecord", &packed));
    }

    #[test]
    fn a_full_batch_is_not_too_many() {
        let text = || "x".repeat(200);
        let activity = pb::ActivityRecord {
            activity_id: text(),
            user: Some(pb::UserIdentity {
                upn: text(),
                smtp_addresses: vec![text(); 8],
                ..Default::default()
            }),
            occurred_at: Some(prost_types::Timestamp::default()),
            ..Default::default()
        };
        let batch = pb::IngestActivitiesRequest { activities: vec![activity; 10_000], ..Default::default() };
        assert!(!are_too_many(BATCH, &batch.encode_to_vec()));
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        for byte in [0, 0x0b, 0x12, 0xff] {
            assert!(!are_too_many(BATCH, &vec![byte; 1_000_000]), "{byte}");
        }
        assert!(!are_too_many("riskshare.v1.Nothing", &vec![0x12; 1_000_000]));
    }
}
