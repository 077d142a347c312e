//! What an answer shows of a person beside who it is and how risky: reasons, summary and the beginning of the timeline, in
//! bytes of the wire. They depend on facts, rules and the day alone, so they are made once and kept beside the facts; an
//! answer is put together from them and from what depends on the caller and the instant.
//!
//! In protobuf the bytes of a message's fields may stand one after the other in any order, so an actor is its own fields,
//! encoded as always, and then its sheet.

use crate::domain::activities::Row;
use crate::engine::reading::Cursor;
use crate::gate::admission::SharingGrant;
use crate::grpc::codec::Wire;
use crate::grpc::render;
use crate::pb;
use bytes::{BufMut, Bytes};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len, message};
use std::sync::Arc;
use tonic::codec::EncodeBuf;

/// The fields of `EnrichedAlert`, `Actor`, `EnrichAlertResult` and the answers that are put together here.
const ALERT_ACTORS: u32 = 5;
const ACTOR_ACTIVITIES: u32 = 7;
const RESULT_ALERT: u32 = 1;
const RESULT_REFUSAL: u32 = 2;
const ANSWER_ALERT: u32 = 1;
const PAGE_RESULTS: u32 = 1;

/// What is shown of a person.
#[derive(Debug)]
pub struct Sheet {
    /// The most activities that it was to hold; nothing for one without a timeline.
    pub size: Option<usize>,
    /// Reasons, summary and activities.
    pub bytes: Bytes,
    /// Where the timeline goes on, if it does.
    pub next: Option<Cursor>,
}

/// Makes a sheet.
pub struct SheetWriter<'g> {
    grant: &'g SharingGrant,
    bytes: Vec<u8>,
}

impl<'g> SheetWriter<'g> {
    /// Begins with reasons and summary, which are all that is set in `actor`.
    pub fn new(grant: &'g SharingGrant, actor: &pb::Actor) -> Self {
        Self { grant, bytes: actor.encode_to_vec() }
    }

    /// Adds an activity.
    pub fn add(&mut self, activity: &Row<'_>) {
        encode_key(ACTOR_ACTIVITIES, WireType::LengthDelimited, &mut self.bytes);
        let object_name = self.grant.spell(activity.object_name());
        let destination = self.grant.spell(activity.destination());
        put_activity(&mut self.bytes, activity, object_name, destination);
    }

    /// Returns the sheet.
    #[must_use]
    pub fn finish(mut self, size: Option<usize>, next: Option<Cursor>) -> Sheet {
        self.bytes.shrink_to_fit();
        Sheet { size, bytes: self.bytes.into(), next }
    }
}

/// Writes an [`pb::Activity`] with its length before it, as [`render::activity`] would have it, without making one.
fn put_activity(bytes: &mut Vec<u8>, activity: &Row<'_>, object_name: &str, destination: &str) {
    let begin = bytes.len();
    bytes.push(0); // Its length, of which most fit into one byte.
    activity.id.with_text(|id| put_text(bytes, 1, id));
    message::encode(2, &render::timestamp(activity.at), bytes);
    put_text(bytes, 3, activity.indicator.name());
    put_text(bytes, 4, activity.operation());
    put_text(bytes, 5, object_name);
    put_text(bytes, 6, destination);
    put_number(bytes, 7, render::sensitivity(activity.sensitivity).into());
    put_number(bytes, 8, activity.unallowed_destination.into());
    put_number(bytes, 9, pb::ActivityType::Exfiltration.into());
    let length = bytes.len() - begin - 1;
    let mut head = [0; 10];
    let mut rest = &mut head[..];
    encode_varint(length as u64, &mut rest);
    let size = 10 - rest.len();
    bytes.splice(begin..=begin, head.into_iter().take(size));
}

fn put_text(bytes: &mut Vec<u8>, tag: u32, text: &str) {
    if !text.is_empty() {
        begin_field(bytes, tag, text.len());
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn put_number(bytes: &mut Vec<u8>, tag: u32, number: i32) {
    if let Ok(number @ 1..) = u64::try_from(number) {
        encode_key(tag, WireType::Varint, bytes);
        encode_varint(number, bytes);
    }
}

/// An alert of an answer.
#[derive(Debug)]
pub struct SheetedAlert {
    /// The message without its actors.
    alert: pb::EnrichedAlert,
    actors: Vec<SheetedActor>,
}

/// An actor, and the sheet with the fields that it lacks.
pub type SheetedActor = (pb::Actor, Option<Arc<Sheet>>);

impl SheetedAlert {
    /// Returns its actors, each with the place of its sheet.
    pub fn actors_mut(&mut self) -> impl Iterator<Item = &mut SheetedActor> {
        self.actors.iter_mut()
    }

    fn actors(&self) -> impl Iterator<Item = (&pb::Actor, &[u8])> {
        self.actors.iter().map(|(actor, sheet)| (actor, sheet.as_ref().map_or(&[][..], |sheet| &sheet.bytes)))
    }

    /// Returns how many bytes it has.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let actors =
            self.actors().map(|(actor, sheet)| field_len(ALERT_ACTORS, actor.encoded_len() + sheet.len()));
        self.alert.encoded_len() + actors.sum::<usize>()
    }

    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.alert.encode_raw(buf);
        for (actor, sheet) in self.actors() {
            begin_field(buf, ALERT_ACTORS, actor.encoded_len() + sheet.len());
            actor.encode_raw(buf);
            buf.put_slice(sheet);
        }
    }
}

impl From<pb::EnrichedAlert> for SheetedAlert {
    fn from(mut alert: pb::EnrichedAlert) -> Self {
        let actors = std::mem::take(&mut alert.actors);
        Self { alert, actors: actors.into_iter().map(|actor| (actor, None)).collect() }
    }
}

impl Wire<pb::EnrichAlertResponse> for SheetedAlert {
    fn length(&self) -> usize {
        field_len(ANSWER_ALERT, self.encoded_len())
    }

    fn put(&self, buf: &mut EncodeBuf<'_>) {
        begin_field(buf, ANSWER_ALERT, self.encoded_len());
        self.encode_raw(buf);
    }
}

/// A page of alerts, each of which is there or refused.
pub struct SheetedPage(pub Vec<Result<SheetedAlert, pb::AlertRefusal>>);

impl SheetedPage {
    fn result_len(result: &Result<SheetedAlert, pb::AlertRefusal>) -> usize {
        match result {
            Ok(alert) => field_len(RESULT_ALERT, alert.encoded_len()),
            Err(refusal) => field_len(RESULT_REFUSAL, refusal.encoded_len()),
        }
    }

    fn encode_raw(&self, buf: &mut impl BufMut) {
        for result in &self.0 {
            begin_field(buf, PAGE_RESULTS, Self::result_len(result));
            match result {
                Ok(alert) => {
                    begin_field(buf, RESULT_ALERT, alert.encoded_len());
                    alert.encode_raw(buf);
                }
                Err(refusal) => message::encode(RESULT_REFUSAL, refusal, buf),
            }
        }
    }
}

impl Wire<pb::BatchEnrichAlertsResponse> for SheetedPage {
    fn length(&self) -> usize {
        self.0.iter().map(|result| field_len(PAGE_RESULTS, Self::result_len(result))).sum()
    }

    fn put(&self, buf: &mut EncodeBuf<'_>) {
        self.encode_raw(buf);
    }
}

/// Begins a field of so many bytes.
fn begin_field(buf: &mut impl BufMut, tag: u32, length: usize) {
    encode_key(tag, WireType::LengthDelimited, buf);
    encode_varint(length as u64, buf);
}

/// Returns how many bytes a field takes whose content has so many.
fn field_len(tag: u32, length: usize) -> usize {
    key_len(tag) + encoded_len_varint(length as u64) + length
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::activity::{Activity, Sensitivity};
    use crate::domain::ids::ActivityId;
    use crate::domain::indicator::Indicator;
    use crate::domain::user::Personal;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn activity() -> impl Strategy<Value = (Activity, String, String)> {
        let texts =
            ("[a-z0-9-]{1,128}", "(Print|CopyToUSB|[A-Za-z]{1,60})", ".{0,80}", ".{0,1500}", ".{0,300}");
        let at = (-62_135_596_800_i64..253_402_300_800, 0_u32..1_000_000_000);
        (texts, at, 0_usize..4, any::<bool>()).prop_map(
            |(texts, (seconds, nanos), sensitivity, unallowed)| {
                let (id, indicator, operation, object_name, destination) = texts;
                let all = [
                    Sensitivity::None,
                    Sensitivity::General,
                    Sensitivity::Confidential,
                    Sensitivity::HighlyConfidential,
                ];
                let activity = Activity {
                    id: ActivityId::new(&id).unwrap(),
                    at: DateTime::from_timestamp(seconds, nanos).unwrap(),
                    indicator: Indicator::named(&indicator),
                    operation: operation.into(),
                    object_name: Personal::new(&object_name),
                    destination: Personal::new(&destination),
                    sensitivity: all[sensitivity],
                    unallowed_destination: unallowed,
                };
                (activity, object_name, destination)
            },
        )
    }

    proptest! {
        #[test]
        fn an_activity_is_written_as_the_message_would_be((activity, object_name, destination) in activity()) {
            let mut bytes = Vec::new();
            put_activity(&mut bytes, &Row::of(&activity), &object_name, &destination);
            let message = render::activity(&Row::of(&activity), &object_name, &destination);
            prop_assert_eq!(bytes, message.encode_length_delimited_to_vec());
        }

        #[test]
        fn an_answer_reads_as_the_messages_that_it_is_made_of(
            activities in prop::collection::vec(prop::collection::vec(activity(), 0..4), 0..4),
            refused in any::<bool>(),
        ) {
            let mut plain = pb::EnrichedAlert { alert_id: "a".into(), severity_text: "High".into(), ..Default::default() };
            let mut actors = Vec::new();
            for activities in activities {
                let bare = pb::Actor { score: 7, next_page_token: "next".into(), ..Default::default() };
                let summed = pb::Actor { reasons: vec![pb::Reason { count: 3, ..Default::default() }], ..Default::default() };
                let mut bytes = summed.encode_to_vec();
                let mut rows = Vec::new();
                for (activity, object_name, destination) in &activities {
                    encode_key(ACTOR_ACTIVITIES, WireType::LengthDelimited, &mut bytes);
                    put_activity(&mut bytes, &Row::of(activity), object_name, destination);
                    rows.push(render::activity(&Row::of(activity), object_name, destination));
                }
                let sheet = Arc::new(Sheet { size: None, bytes: bytes.into(), next: None });
                plain.actors.push(pb::Actor { reasons: summed.reasons, activities: rows, ..bare.clone() });
                actors.push((bare, Some(sheet)));
            }
            let bare = pb::EnrichedAlert { actors: Vec::new(), ..plain.clone() };
            let refusal = pb::AlertRefusal { message: "no".into(), ..Default::default() };
            let mut page = SheetedPage(vec![Ok(SheetedAlert { alert: bare, actors }), Ok(plain.clone().into())]);
            let of = |result| pb::EnrichAlertResult { result: Some(result) };
            let alert = || of(pb::enrich_alert_result::Result::Alert(plain.clone()));
            let mut results = vec![alert(), alert()];
            if refused {
                page.0.push(Err(refusal.clone()));
                results.push(of(pb::enrich_alert_result::Result::Refusal(refusal)));
            }
            let mut bytes = Vec::new();
            page.encode_raw(&mut bytes);
            prop_assert_eq!(bytes.len(), page.length());
            let read = pb::BatchEnrichAlertsResponse::decode(&bytes[..]).unwrap();
            prop_assert_eq!(read, pb::BatchEnrichAlertsResponse { results });
        }
    }
}
