//! What a person may try next, as lines to paste.

use crate::cli::demo::story::Tenant;
use std::net::SocketAddr;
use std::path::Path;

/// Returns lines that work as pasted while the demo serves: for grpcurl, which learns the services by reflection,
/// and for this program, which is called as `program`. The raw alert lies in `alert`.
#[must_use]
pub fn invitation(program: &str, address: SocketAddr, tenant: &Tenant, alert: &Path) -> String {
    let id = &tenant.id;
    let call = |fields: &str, method: &str| {
        format!(
            "  grpcurl -plaintext -d '{{\"tenant_id\": \"{id}\"{fields}}}' {address} riskshare.v1.{method}\n"
        )
    };
    let full = r#", "alert": {"alert_id": "mine", "involved_users": [{"upn": "ada.lindqvist@contoso.com"}]}, "view": "ENRICHMENT_VIEW_FULL", "activity_page_size": 3"#;
    let user = r#", "user": {"upn": "ada.lindqvist@contoso.com"}, "page_size": 3"#;
    let program = quoted(program);
    let at = format!("--server http://{address} --tenant {id}");
    let set = format!("  {program} settings set {at} --data-sharing");
    let enrich = format!("  {program} enrich {at} {}", quoted(&alert.to_string_lossy()));
    [
        "Ask it yourself:\n".to_owned(),
        format!("  grpcurl -plaintext {address} list\n"),
        call(full, "AlertEnrichmentService/EnrichAlert"),
        call(user, "AlertEnrichmentService/ListUserActivities"),
        call("", "SettingsService/GetSettings"),
        format!("{enrich}\n"),
        "\nTurn sharing off, and ask again:\n".to_owned(),
        format!("{set} off\n"),
        format!("{enrich}\n"),
        format!("{set} on\n"),
    ]
    .concat()
}

/// Returns a text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(quoted("/tmp/a-b_c.json"), "/tmp/a-b_c.json");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
    }
}
