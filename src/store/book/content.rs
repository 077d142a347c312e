//! The bytes of a blob of exported records.

use super::change::{read_alert, read_identity, read_no, write_alert, write_identity, write_no};
use super::codec::{Decoder, Encoder, Malformed};
use crate::domain::content::{AlertRecord, Content};
use crate::domain::ids::TenantId;
use crate::domain::user::UserNo;
use std::collections::BTreeSet;

/// Writes the payload of a record that holds a blob.
pub fn write(content: &Content) -> Vec<u8> {
    let mut out = Encoder::default();
    out.uuid(content.tenant.uuid());
    out.number(content.number);
    out.instant(content.created);
    out.count(content.records.len());
    for record in &content.records {
        write_record(&mut out, record);
    }
    out.finish()
}

/// Reads one.
pub fn read(payload: &[u8]) -> Result<Content, Malformed> {
    let mut from = Decoder::new(payload);
    let content = Content {
        tenant: TenantId::new(from.uuid()?),
        number: from.number()?,
        created: from.instant()?,
        records: from.several(read_record)?,
    };
    if from.is_empty() { Ok(content) } else { Err(Malformed) }
}

fn write_record(out: &mut Encoder, record: &AlertRecord) {
    out.uuid(record.id);
    write_no(out, record.user);
    write_identity(out, &record.identity);
    write_alert(out, &record.alert);
    out.option(record.policy_name.as_deref(), Encoder::text);
    out.option(record.triggered_at, Encoder::instant);
    out.flag(record.first);
}

fn read_record(from: &mut Decoder) -> Result<AlertRecord, Malformed> {
    Ok(AlertRecord {
        id: from.uuid()?,
        user: read_no(from)?,
        identity: read_identity(from)?,
        alert: read_alert(from)?,
        policy_name: from.option(Decoder::text)?,
        triggered_at: from.option(Decoder::instant)?,
        first: from.flag()?,
    })
}

/// Returns a blob without the records of some people.
pub fn without(mut content: Content, users: &BTreeSet<UserNo>) -> Content {
    content.records.retain(|record| !users.contains(&record.user));
    content
}
