//! Who is outside the organisation, as far as one record can tell [I]: an address in none of the domains that the
//! record itself gives to the user and the organisation, nor below or above them.

use crate::intake::error::FieldError;
use crate::intake::field::Field;
use crate::intake::who::strip_smtp;

/// The organisation's domains that a record names.
pub(super) struct Home(Vec<String>);

impl Home {
    /// Reads them from the user, the mailbox's owner and the organisation's name.
    pub(super) fn of(record: Field<'_>) -> Result<Self, FieldError> {
        let mut domains = Vec::new();
        for key in ["UserId", "MailboxOwnerUPN"] {
            domains.extend(record.get(key).text()?.and_then(domain));
        }
        // Usually the initial domain; a display name would make everybody an outsider.
        let organization = record.get("OrganizationName").text()?.filter(|name| name.contains('.'));
        domains.extend(organization.map(str::to_ascii_lowercase));
        Ok(Self(domains))
    }

    /// Says whether an address is outside. Where no domain is known, nobody is, but for a guest's name.
    pub(super) fn is_outside(&self, address: &str) -> bool {
        let Some(domain) = domain(address) else { return false };
        let is_guest = address.to_ascii_lowercase().contains("#ext#@");
        is_guest || (!self.0.is_empty() && !self.0.iter().any(|home| is_within(&domain, home)))
    }
}

fn is_within(domain: &str, home: &str) -> bool {
    let below = |one: &str, other: &str| one.strip_suffix(other).is_some_and(|rest| rest.ends_with('.'));
    domain == home || below(domain, home) || below(home, domain)
}

fn domain(address: &str) -> Option<String> {
    let (name, domain) = address.rsplit_once('@')?;
    (!name.is_empty() && domain.contains('.')).then(|| domain.to_ascii_lowercase())
}

/// Returns the mail addresses in a text such as `smtp:a@x.com`, `"A" [SMTP:a@x.com]` or `a@x.com;b@y.com`.
pub(super) fn addresses(text: &str) -> impl Iterator<Item = &str> {
    let separators = |c: char| c.is_whitespace() || ";,<>[]()\"'".contains(c);
    text.split(separators).map(strip_smtp).filter(|part| part.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::json::Json;

    #[test]
    fn outside_is_what_shares_no_domain_with_the_record() {
        let text = r#"{"UserId":"alex@contoso.com","OrganizationName":"contoso.onmicrosoft.com"}"#;
        let json = Json::parse(text).unwrap();
        let home = Home::of(Field::root(&json)).unwrap();
        for inside in ["kim@CONTOSO.com", "kim@mail.contoso.com", "kim@contoso.onmicrosoft.com", "Kim", ""] {
            assert!(!home.is_outside(inside), "{inside}");
        }
        for outside in [
            "kim@fabrikam.com",
            "kim@notcontoso.com",
            "kim_fabrikam.com#EXT#@contoso.com",
            "kim@onmicrosoft.org",
        ] {
            assert!(home.is_outside(outside), "{outside}");
        }
    }

    #[test]
    fn without_a_known_domain_nobody_is_outside() {
        let json = Json::parse(r#"{"UserId":"S-1-5-21-1","OrganizationName":"Contoso"}"#).unwrap();
        assert!(!Home::of(Field::root(&json)).unwrap().is_outside("kim@fabrikam.com"));
    }

    #[test]
    fn addresses_are_found_in_the_ways_they_are_written() {
        let text = "smtp:a@x.com;\"B\" [SMTP:b@y.com], Team mailbox <c@z.com>";
        assert_eq!(addresses(text).collect::<Vec<_>>(), ["a@x.com", "b@y.com", "c@z.com"]);
    }
}
