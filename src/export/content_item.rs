//! A blob as the Management Activity API lists it and tells webhooks of it (`domain.md` 5). Tells nothing about anybody.

use crate::domain::content::expiry;
use crate::domain::ids::TenantId;
use crate::domain::subscription::ContentType;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// The end of every id.
pub const ID_END: &str = "audit_general";

/// A blob.
#[expect(clippy::struct_field_names, reason = "the format names them so")]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    content_type: ContentType,
    content_id: String,
    content_uri: String,
    content_created: String,
    content_expiration: String,
}

/// A blob in a notification.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    tenant_id: String,
    client_id: &'a str,
    #[serde(flatten)]
    item: Item,
}

impl Item {
    /// Returns the blob of that number, which is had from under `base`.
    #[must_use]
    pub fn of(base: &str, content_type: ContentType, number: u64, created: DateTime<Utc>) -> Self {
        let id = content_id(number, created);
        Self {
            content_type,
            content_uri: format!("{base}/audit/{id}"),
            content_id: id,
            content_created: written(created),
            content_expiration: written(expiry(created)),
        }
    }
}

/// Returns the URL under which a tenant's feed is had.
#[must_use]
pub fn base(root: &str, tenant: TenantId) -> String {
    format!("{}/api/v1.0/{tenant}/activity/feed", root.trim_end_matches('/'))
}

/// Returns a notification of blobs as JSON. `client` is the application that asked for it.
#[must_use]
pub fn notification(
    base: &str,
    tenant: TenantId,
    client: &str,
    content_type: ContentType,
    blobs: impl IntoIterator<Item = (u64, DateTime<Utc>)>,
) -> String {
    let told = blobs.into_iter().map(|(number, created)| Told {
        tenant_id: tenant.to_string(),
        client_id: client,
        item: Item::of(base, content_type, number, created),
    });
    serde_json::to_string(&told.collect::<Vec<_>>()).expect("it has neither maps nor floats")
}

/// Returns the id of a blob.
#[must_use]
pub fn content_id(number: u64, created: DateTime<Utc>) -> String {
    format!("{}${number}${ID_END}", created.format("%Y%m%d%H%M%S%3f"))
}

/// Writes an instant as the API does.
#[must_use]
pub fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
