//! A queue page as it came: its alerts are read where they stand, without a message for each of them. Of a page nobody needs
//! the messages; they were most of what reading it cost.
//!
//! What is read in that way is what every encoder writes. Bytes in any other order or number are left to the generated
//! messages, so these alone say what a request means and why it cannot be read.

use crate::grpc::status;
use crate::pb;
use prost::bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{Message, Name};
use prost_types::Timestamp;
use smallvec::SmallVec;
use tonic::Status;

/// A [`pb::BatchEnrichAlertsRequest`] with its alerts left as bytes, which on the wire is the same.
#[derive(Clone, PartialEq, Message)]
pub struct UnreadPage {
    /// The tenant's id.
    #[prost(string, tag = "1")]
    pub tenant_id: String,
    /// The alerts.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub alerts: Vec<Bytes>,
    /// How much to answer.
    #[prost(enumeration = "pb::EnrichmentView", tag = "3")]
    pub view: i32,
    /// The most activities of an actor.
    #[prost(int32, tag = "4")]
    pub activity_page_size: i32,
}

impl Name for UnreadPage {
    const NAME: &'static str = pb::BatchEnrichAlertsRequest::NAME;
    const PACKAGE: &'static str = pb::BatchEnrichAlertsRequest::PACKAGE;

    fn full_name() -> String {
        pb::BatchEnrichAlertsRequest::full_name()
    }
}

impl UnreadPage {
    /// Passes on what `read` makes of the alerts.
    ///
    /// # Errors
    /// When they are no messages, like that of every other request.
    pub fn read<T>(&self, read: impl FnOnce(&[AlertView<'_>]) -> T) -> Result<T, Status> {
        let viewed: Option<Vec<_>> = self.alerts.iter().map(|bytes| AlertView::of_bytes(bytes)).collect();
        if let Some(alerts) = viewed {
            return Ok(read(&alerts));
        }
        let whole = pb::BatchEnrichAlertsRequest::decode(&self.encode_to_vec()[..]);
        let whole = whole.map_err(|error| status::unreadable(&error))?;
        Ok(read(&whole.alerts.iter().map(AlertView::from).collect::<Vec<_>>()))
    }
}

/// A [`pb::DlpAlert`] whose texts stand elsewhere.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs, reason = "the fields of the message")]
pub struct AlertView<'a> {
    pub alert_id: &'a str,
    pub title: &'a str,
    pub policy_name: &'a str,
    pub created_at: Option<Timestamp>,
    pub severity: i32,
    pub involved_users: SmallVec<[UserView<'a>; 2]>,
    pub raw_json: &'a str,
}

/// A [`pb::UserIdentity`] whose texts stand elsewhere.
#[derive(Clone, PartialEq, Debug, Default)]
#[allow(missing_docs, reason = "the fields of the message")]
pub struct UserView<'a> {
    pub entra_object_id: &'a str,
    pub sid: &'a str,
    pub upn: &'a str,
    pub smtp_addresses: Vec<&'a str>,
    pub account_name: &'a str,
    pub display_name: &'a str,
}

impl<'a> AlertView<'a> {
    /// Reads the bytes of a message, or nothing where they are not as expected.
    fn of_bytes(mut bytes: &'a [u8]) -> Option<Self> {
        let mut alert = Self::default();
        while !bytes.is_empty() {
            match decode_key(&mut bytes).ok()? {
                (1, WireType::LengthDelimited) => alert.alert_id = text(&mut bytes)?,
                (2, WireType::LengthDelimited) => alert.title = text(&mut bytes)?,
                (3, WireType::LengthDelimited) => alert.policy_name = text(&mut bytes)?,
                // A second one would be merged into the first.
                (4, WireType::LengthDelimited) if alert.created_at.is_none() => {
                    alert.created_at = Some(Timestamp::decode(piece(&mut bytes)?).ok()?);
                }
                (5, WireType::Varint) => alert.severity = number(&mut bytes)?,
                (6, WireType::LengthDelimited) => {
                    alert.involved_users.push(UserView::of_bytes(piece(&mut bytes)?)?);
                }
                (7, WireType::LengthDelimited) => alert.raw_json = text(&mut bytes)?,
                _ => return None,
            }
        }
        Some(alert)
    }
}

impl<'a> UserView<'a> {
    fn of_bytes(mut bytes: &'a [u8]) -> Option<Self> {
        let mut user = Self::default();
        while !bytes.is_empty() {
            let (number, WireType::LengthDelimited) = decode_key(&mut bytes).ok()? else { return None };
            let text = text(&mut bytes)?;
            match number {
                1 => user.entra_object_id = text,
                2 => user.sid = text,
                3 => user.upn = text,
                4 => user.smtp_addresses.push(text),
                5 => user.account_name = text,
                6 => user.display_name = text,
                _ => return None,
            }
        }
        Some(user)
    }
}

impl<'a> From<&'a pb::DlpAlert> for AlertView<'a> {
    fn from(alert: &'a pb::DlpAlert) -> Self {
        Self {
            alert_id: &alert.alert_id,
            title: &alert.title,
            policy_name: &alert.policy_name,
            created_at: alert.created_at,
            severity: alert.severity,
            involved_users: alert.involved_users.iter().map(UserView::from).collect(),
            raw_json: &alert.raw_json,
        }
    }
}

impl<'a> From<&'a pb::UserIdentity> for UserView<'a> {
    fn from(user: &'a pb::UserIdentity) -> Self {
        Self {
            entra_object_id: &user.entra_object_id,
            sid: &user.sid,
            upn: &user.upn,
            smtp_addresses: user.smtp_addresses.iter().map(String::as_str).collect(),
            account_name: &user.account_name,
            display_name: &user.display_name,
        }
    }
}

/// Takes what has its length before it off the bytes.
fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (piece, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(piece)
}

fn text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(piece(bytes)?).ok()
}

/// Takes the number of an enum, if it is none of those below 0, which have 64 bits.
fn number(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(decode_varint(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![Just(String::new()), "[a-z@.]{1,12}", ".{0,200}"]
    }

    fn user() -> impl Strategy<Value = pb::UserIdentity> {
        let texts = [text(), text(), text(), text(), text()];
        (texts, prop::collection::vec(text(), 0..3)).prop_map(|(texts, smtp_addresses)| {
            let [entra_object_id, sid, upn, account_name, display_name] = texts;
            pb::UserIdentity { entra_object_id, sid, upn, smtp_addresses, account_name, display_name }
        })
    }

    fn alert() -> impl Strategy<Value = pb::DlpAlert> {
        let at = prop::option::of((any::<i64>(), any::<i32>()));
        let users = prop::collection::vec(user(), 0..4);
        ([text(), text(), text(), text()], at, any::<i32>(), users).prop_map(
            |(texts, at, severity, involved_users)| {
                let [alert_id, title, policy_name, raw_json] = texts;
                let created_at = at.map(|(seconds, nanos)| Timestamp { seconds, nanos });
                pb::DlpAlert { alert_id, title, policy_name, created_at, severity, involved_users, raw_json }
            },
        )
    }

    fn read(page: &[u8]) -> Option<Result<Vec<pb::DlpAlert>, String>> {
        let page = UnreadPage::decode(page).ok()?;
        let read = page.read(|alerts| alerts.iter().map(message).collect());
        Some(read.map_err(|status| format!("{status:?}")))
    }

    fn message(view: &AlertView<'_>) -> pb::DlpAlert {
        let user = |user: &UserView<'_>| pb::UserIdentity {
            entra_object_id: user.entra_object_id.to_owned(),
            sid: user.sid.to_owned(),
            upn: user.upn.to_owned(),
            smtp_addresses: user.smtp_addresses.iter().map(|&address| address.to_owned()).collect(),
            account_name: user.account_name.to_owned(),
            display_name: user.display_name.to_owned(),
        };
        pb::DlpAlert {
            alert_id: view.alert_id.to_owned(),
            title: view.title.to_owned(),
            policy_name: view.policy_name.to_owned(),
            created_at: view.created_at,
            severity: view.severity,
            involved_users: view.involved_users.iter().map(user).collect(),
            raw_json: view.raw_json.to_owned(),
        }
    }

    fn page(alerts: Vec<pb::DlpAlert>) -> pb::BatchEnrichAlertsRequest {
        pb::BatchEnrichAlertsRequest { tenant_id: "t".to_owned(), alerts, view: 2, activity_page_size: 7 }
    }

    proptest! {
        #[test]
        fn what_an_encoder_writes_is_read_where_it_stands(alerts in prop::collection::vec(alert(), 0..4)) {
            let message = page(alerts);
            let unread = UnreadPage::decode(&message.encode_to_vec()[..]).unwrap();
            prop_assert_eq!(unread.encode_to_vec(), message.encode_to_vec());
            for (bytes, alert) in unread.alerts.iter().zip(&message.alerts) {
                if alert.severity >= 0 {
                    prop_assert_eq!(AlertView::of_bytes(bytes), Some(AlertView::from(alert)));
                }
            }
            prop_assert_eq!(read(&message.encode_to_vec()), Some(Ok(message.alerts)));
        }

        #[test]
        fn whatever_the_bytes_are_they_are_read_as_the_messages_are(
            alerts in prop::collection::vec(alert(), 1..3),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            twice in any::<bool>(),
        ) {
            let mut bytes = page(alerts).encode_to_vec();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if twice {
                bytes.extend_from_within(..);
            }
            let whole = pb::BatchEnrichAlertsRequest::decode(&bytes[..]);
            let whole = whole.map(|page| page.alerts).map_err(|error| format!("{:?}", status::unreadable(&error)));
            match read(&bytes) {
                Some(read) => prop_assert_eq!(read, whole),
                None => prop_assert!(whole.is_err()),
            }
        }
    }
}
