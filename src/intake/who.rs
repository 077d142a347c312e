//! Texts that name a person.

use crate::domain::user::{Identity, IdentityKey, KeyError, Personal, is_service_name};
use crate::intake::error::FieldError;
use crate::intake::field::Field;
use std::borrow::Cow;

/// The longest name to show, in bytes. A longer one is cut.
const DISPLAY_NAME_BYTES_MAX: usize = 256;

/// Whom a text names.
pub(super) enum Who {
    /// Nobody: there is no text.
    Nobody,
    /// A service, or the system.
    Service,
    /// A person.
    Person(Identity),
}

/// Reads a text that may name a person in any way: UPN, object id, SID or `domain\account`, each also in a claim.
pub(super) fn any_name(field: Field<'_>) -> Result<Who, FieldError> {
    let Some(text) = field.text()? else { return Ok(Who::Nobody) };
    let text = without_claim(text);
    let text = decoded_urn(text);
    if is_service_name(&text) || text.starts_with(ANONYMOUS_URN) {
        return Ok(Who::Service);
    }
    match identity_of(&text) {
        Ok(identity) => Ok(Who::Person(identity)),
        Err(error) => Err(key_fault(field, error)),
    }
}

/// Begins the name of whoever used a link for anybody: nobody whom a key could find.
const ANONYMOUS_URN: &str = "urn:spo:anon#";

/// Returns the name in a claim of SharePoint: `alex@contoso.com` of `i:0#.f|membership|alex@contoso.com`,
/// `contoso\alex` of `i:0#.w|contoso\alex`. Another text stays as it is.
fn without_claim(text: &str) -> &str {
    let is_claim = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("i:0"));
    match text.rsplit_once('|') {
        Some((_, name)) if is_claim => name.trim(),
        _ => text,
    }
}

/// Spells SharePoint's names of outsiders, which a claim holds with escapes, in one way.
fn decoded_urn(text: &str) -> Cow<'_, str> {
    for escaped in ["urn%3aspo%3a", "urn:spo:"] {
        match text.split_at_checked(escaped.len()) {
            Some((start, rest)) if start.eq_ignore_ascii_case(escaped) => {
                return Cow::Owned(format!("urn:spo:{}", rest.to_ascii_lowercase()));
            }
            _ => {}
        }
    }
    Cow::Borrowed(text)
}

fn identity_of(text: &str) -> Result<Identity, KeyError> {
    let new = Identity::default();
    if text.contains('@') {
        Ok(new.with_upn(IdentityKey::address(text)?))
    } else if text.contains('\\') {
        Ok(new.with(IdentityKey::account(text)?))
    } else if text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("S-1-")) {
        Ok(new.with(IdentityKey::sid(&text.to_ascii_uppercase())?))
    } else {
        let form = KeyError::Form("user@domain, a GUID, S-1-... or domain\\account");
        IdentityKey::object_id(text).map(|key| new.with(key)).map_err(|_| form)
    }
}

/// Reads a mail address, with or without `smtp:` before it.
pub(super) fn address(field: Field<'_>) -> Result<Who, FieldError> {
    let Some(text) = field.text()? else { return Ok(Who::Nobody) };
    if is_service_name(text) {
        return Ok(Who::Service);
    }
    let key = IdentityKey::address(strip_smtp(text)).map_err(|error| key_fault(field, error))?;
    Ok(Who::Person(Identity::default().with(key)))
}

/// Removes the `smtp:` of a proxy address.
pub(super) fn strip_smtp(text: &str) -> &str {
    match text.split_at_checked(5) {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case("smtp:") => address.trim(),
        _ => text,
    }
}

/// Sets the name to show.
pub(super) fn named(mut identity: Identity, display_name: Field<'_>) -> Result<Identity, FieldError> {
    identity.display_name =
        display_name.text()?.map(|name| Personal::new(start_of(name, DISPLAY_NAME_BYTES_MAX)));
    Ok(identity)
}

/// Returns the fault of a text that is no key. The domain's words hold no value.
pub(super) fn key_fault(field: Field<'_>, error: KeyError) -> FieldError {
    field.fault(error.to_string())
}

/// Returns the longest start of a text that has at most `max` bytes.
pub(super) fn start_of(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// Returns the longest end of a text that has at most `max` bytes.
pub(super) fn end_of(text: &str, max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(max))..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::json::Json;

    fn read(text: &str) -> Result<Who, FieldError> {
        let json = Json::Text(text.into());
        any_name(Field::root(&json))
    }

    #[test]
    fn a_name_is_read_in_whatever_way_it_is_given() {
        for name in [
            "ALEX@CONTOSO.COM",
            "CONTOSO\\alex",
            "s-1-5-21-1-2-3-1001",
            "6F1F3C1E-2B4A-4D5E-8F90-123456789ABC",
            "{6f1f3c1e-2b4a-4d5e-8f90-123456789abc}",
        ] {
            assert!(matches!(read(name), Ok(Who::Person(_))), "{name}");
        }
        for service in ["DlpAgent", "app@sharepoint", "NT AUTHORITY\\SYSTEM (w3wp)", "S-1-5-18"] {
            assert!(matches!(read(service), Ok(Who::Service)), "{service}");
        }
        assert!(matches!(read(" "), Ok(Who::Nobody)));
        assert!(read("alex").is_err());
    }

    #[test]
    fn a_claim_names_whom_it_is_about() {
        let same = |claim: &str, name: &str| {
            let (Ok(Who::Person(one)), Ok(Who::Person(other))) = (read(claim), read(name)) else {
                panic!("{claim}")
            };
            assert_eq!(one, other, "{claim}");
            assert!(!one.is_guest_name());
        };
        same("i:0#.f|membership|alex@contoso.com", "alex@contoso.com");
        same("I:0h.f|membership|Alex@contoso.com", "alex@contoso.com");
        same("i:0#.w|contoso\\alex", "CONTOSO\\alex");
        assert!(matches!(
            read("i:0i.t|00000003-0000-0ff1-ce00-000000000000|app@sharepoint"),
            Ok(Who::Service)
        ));
        assert!(
            read("x|alex@contoso.com").is_ok_and(|who| !matches!(who, Who::Person(one)
            if one.has(&IdentityKey::address("alex@contoso.com").unwrap()))),
            "no claim"
        );
    }

    #[test]
    fn a_guest_of_sharepoint_is_nobody_of_the_tenant_and_an_anonymous_one_nobody_at_all() {
        for guest in
            ["urn:spo:guest#alex@contoso.com", "i:0#.f|membership|urn%3Aspo%3Aguest#alex@contoso.com"]
        {
            let Ok(Who::Person(one)) = read(guest) else { panic!("{guest}") };
            assert!(one.is_guest_name() && !one.has(&IdentityKey::address("alex@contoso.com").unwrap()));
            assert!(one.has(&IdentityKey::address("urn:spo:guest#alex@contoso.com").unwrap()), "{guest}");
        }
        let anonymous = "urn:spo:anon#a0b1c2";
        assert!(matches!(read(anonymous), Ok(Who::Service)));
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!((start_of("aé", 2), end_of("éa", 2)), ("a", "a"));
        assert_eq!((start_of("é", 9), end_of("é", 9)), ("é", "é"));
    }
}
