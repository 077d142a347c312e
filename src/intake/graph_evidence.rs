//! Who is named by the evidence of a Microsoft Graph alert (`domain.md` 3.1, "Where users are named").

use crate::domain::user::{Identity, IdentityKey, KeyError, is_service_name};
use crate::intake::error::{Faults, FieldError};
use crate::intake::field::Field;
use crate::intake::who::{self, Who};

/// The JSON name of the evidence's kind; a shipper writes the `@` in letters.
const KIND: [&str; 2] = ["@odata.type", "at_sign_odata_type"];

/// One mention of a person who acted.
pub(super) struct Mention {
    pub(super) identity: Identity,
    /// The evidence says that this person broke the policy.
    pub(super) violator: bool,
}

/// Returns the mentions, in order. Recipients, services and people who were only logged on are left out.
pub(super) fn mentions(evidence: Field<'_>, faults: &mut Faults) -> Vec<Mention> {
    let mut mentions = Vec::new();
    for item in faults.keep(evidence.items()).into_iter().flatten() {
        if let Some(found) = faults.keep(of_item(item)) {
            mentions.extend(found);
        }
    }
    mentions
}

fn of_item(item: Field<'_>) -> Result<Vec<Mention>, FieldError> {
    let roles = Roles::of(item.get("roles"))?;
    if roles.receives {
        return Ok(Vec::new());
    }
    let kind = item.get_any(&KIND);
    let name = kind.required_text()?;
    let people = match name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase().as_str() {
        "userevidence" => vec![someone(item.get("userAccount"), account(item.get("userAccount"))?)?],
        "mailboxevidence" => vec![someone(item.get("upn"), mailbox(item)?)?],
        "cloudlogonsessionevidence" | "hostlogonsessionevidence" => {
            vec![account(item.get("account").get("userAccount"))?]
        }
        // Often a local account, which has no key and is nobody's.
        "processevidence" => vec![account(item.get("userAccount"))?],
        "analyzedmessageevidence" => vec![sender(item.get("p1Sender"))?, sender(item.get("p2Sender"))?],
        "teamsmessageevidence" => vec![who::any_name(item.get("senderFromAddress"))?],
        _ => Vec::new(), // The list of kinds is open; those known beside these name no user.
    };
    let person = |who| match who {
        Who::Person(identity) => Some(Mention { identity, violator: roles.violator }),
        Who::Service | Who::Nobody => None,
    };
    Ok(people.into_iter().filter_map(person).collect())
}

struct Roles {
    violator: bool,
    /// Is where the data went, and did nothing else.
    receives: bool,
}

impl Roles {
    fn of(field: Field<'_>) -> Result<Self, FieldError> {
        let (mut violator, mut destination, mut source) = (false, false, false);
        for role in field.items()? {
            match role.text()?.unwrap_or_default().to_ascii_lowercase().as_str() {
                "policyviolator" => violator = true,
                "destination" => destination = true,
                "source" => source = true,
                _ => {}
            }
        }
        Ok(Self { violator, receives: destination && !violator && !source })
    }
}

/// Evidence of a user must name one: leaving an unreadable one out could lower the alert's level.
fn someone(field: Field<'_>, who: Who) -> Result<Who, FieldError> {
    match who {
        Who::Nobody => {
            Err(field.fault("names nobody: it needs an object id, SID, UPN, address, or account and domain"))
        }
        who => Ok(who),
    }
}

fn account(field: Field<'_>) -> Result<Who, FieldError> {
    let keys = account_keys(field)?;
    keys.who(field.get("displayName"))
}

fn mailbox(item: Field<'_>) -> Result<Who, FieldError> {
    let account = item.get("userAccount");
    let mut keys = account_keys(account)?;
    if let Some(key) = key(item.get("upn"), IdentityKey::address)? {
        keys.identity.absorb(&Identity::default().with_upn(key));
    }
    if let Some(key) = key(item.get("primaryAddress"), IdentityKey::address)? {
        keys.identity = keys.identity.with(key);
    }
    let name = item.get("displayName");
    keys.who(if name.is_absent() { account.get("displayName") } else { name })
}

struct Keys {
    identity: Identity,
    /// A service's bare account name, with nothing that would tell it from a person of that name.
    service: bool,
}

impl Keys {
    fn who(self, display_name: Field<'_>) -> Result<Who, FieldError> {
        if self.service || self.identity.is_service() {
            Ok(Who::Service)
        } else if self.identity.is_empty() {
            Ok(Who::Nobody)
        } else {
            who::named(self.identity, display_name).map(Who::Person)
        }
    }
}

fn account_keys(field: Field<'_>) -> Result<Keys, FieldError> {
    let mut identity = Identity::default();
    if let Some(key) = object_id(field.get("azureAdUserId"))? {
        identity = identity.with(key);
    }
    if let Some(key) = key(field.get("userPrincipalName"), IdentityKey::address)? {
        identity = identity.with_upn(key);
    }
    let name = field.get("accountName");
    let account = match (field.get("domainName").text()?, name.text()?) {
        (Some(domain), Some(name)) => format!("{domain}\\{name}"),
        (None, Some(name)) => name.to_owned(),
        (_, None) => String::new(),
    };
    let service = identity.is_empty() && is_service_name(&account);
    if let Some(key) = key(field.get("userSid"), IdentityKey::sid)? {
        identity = identity.with(key);
    }
    if account.contains('\\') {
        let key = IdentityKey::account(&account).map_err(|error| who::key_fault(name, error))?;
        identity = identity.with(key);
    }
    Ok(Keys { identity, service })
}

fn sender(field: Field<'_>) -> Result<Who, FieldError> {
    match who::address(field.get("emailAddress"))? {
        Who::Person(identity) => who::named(identity, field.get("displayName")).map(Who::Person),
        who => Ok(who),
    }
}

/// The nil GUID stands for "not known" in Microsoft's data [I].
fn object_id(field: Field<'_>) -> Result<Option<IdentityKey>, FieldError> {
    match field.text()? {
        Some(text) if text.bytes().all(|byte| matches!(byte, b'0' | b'-')) => Ok(None),
        _ => key(field, IdentityKey::object_id),
    }
}

fn key(
    field: Field<'_>,
    read: impl FnOnce(&str) -> Result<IdentityKey, KeyError>,
) -> Result<Option<IdentityKey>, FieldError> {
    let Some(text) = field.text()? else { return Ok(None) };
    read(text).map(Some).map_err(|error| who::key_fault(field, error))
}
