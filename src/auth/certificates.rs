//! Client certificates. That the peer owns one, and that a trusted authority signed it, TLS has proved; here it is
//! found out whose it is.

use crate::auth::Unauthenticated;
use crate::auth::principals::{Name, NotOne, Principals};
use crate::clock::Clock;
use crate::gate::caller::{Caller, Tenants};
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

/// Knows callers by their certificates.
pub struct Certificates {
    principals: Arc<Principals>,
    clock: Arc<dyn Clock>,
}

impl Certificates {
    /// Knows the principals of a file.
    #[must_use]
    pub fn new(principals: Arc<Principals>, clock: Arc<dyn Clock>) -> Self {
        Self { principals, clock }
    }

    /// Returns the caller of a chain that TLS has verified, its own certificate first.
    ///
    /// # Errors
    /// When the certificate is nobody's, is not valid now, or there is none.
    pub fn caller(&self, chain: &[Vec<u8>]) -> Result<Caller, Unauthenticated> {
        let own = chain.first().ok_or(unproven("no certificate"))?;
        let shown = Shown::read(own).ok_or(unproven("a certificate that cannot be read"))?;
        // TLS looked at the start of the connection, which may have been long ago.
        let now = self.clock.now();
        if now < shown.from || now >= shown.until {
            return Err(unproven("a certificate that is not valid now"));
        }
        let standing = self.principals.of(&shown.names).map_err(|not_one| match not_one {
            NotOne::Nobody => unproven("a certificate of no principal"),
            NotOne::Several => unproven("a certificate of several principals"),
        })?;
        Ok(until(&standing, shown.until))
    }
}

fn unproven(why: &'static str) -> Unauthenticated {
    Unauthenticated::Unproven(why)
}

#[expect(clippy::disallowed_methods, reason = "this is authentication")]
fn until(standing: &Caller, until: DateTime<Utc>) -> Caller {
    let (principal, roles) = (standing.principal().to_owned(), BTreeSet::clone(standing.roles()));
    Caller::authenticated(principal, roles, Tenants::All, Some(until)).along_with(standing)
}

/// What a certificate says.
struct Shown {
    names: Vec<Name>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Shown {
    fn read(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        let names = rest.is_empty().then(|| names(&certificate))??;
        let validity = certificate.validity();
        let from = DateTime::from_timestamp(validity.not_before.timestamp(), 0)?;
        Some(Self { names, from, until: DateTime::from_timestamp(validity.not_after.timestamp(), 0)? })
    }
}

/// Returns the names by which a principal can be known. A certificate with two URIs has no SPIFFE id (X.509-SVID,
/// section 2), for one could be meant and another read.
fn names(certificate: &X509Certificate<'_>) -> Option<Vec<Name>> {
    let alternative = certificate.subject_alternative_name().ok()?;
    let alternative = alternative.map_or(&[][..], |extension| &extension.value.general_names);
    let uris: Vec<_> = alternative.iter().filter_map(uri).collect();
    let spiffe = match uris[..] {
        [one] if one.starts_with("spiffe://") => Some(Name::Spiffe(one.to_owned())),
        _ => None,
    };
    let subject = subject(certificate.subject()).map(Name::Subject);
    let dns = alternative.iter().filter_map(dns).map(|name| Name::Dns(name.to_ascii_lowercase()));
    Some(spiffe.into_iter().chain(subject).chain(dns).collect())
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}

fn dns<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::DNSName(name) = name { Some(name) } else { None }
}

/// Writes a subject as RFC 4514 does, and `openssl x509 -subject -nameopt RFC2253` for these. `None` for one that
/// is empty, or holds an attribute without a short name there or a text that is not printable ASCII: such a subject
/// could be spelled in more than one way.
fn subject(name: &X509Name<'_>) -> Option<String> {
    let mut parts: Vec<_> = name.iter_rdn().map(relative).collect::<Option<_>>()?;
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

fn relative(name: &RelativeDistinguishedName<'_>) -> Option<String> {
    let parts: Vec<_> = name.iter().map(attribute).collect::<Option<_>>()?;
    Some(parts.join("+"))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.as_str().ok()?;
    let is_plain = !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    is_plain.then_some(())?;
    Some(format!("{}={}", short_name(attribute.attr_type())?, escaped(value)))
}

/// The short names of RFC 4514, section 3.
fn short_name(id: &Oid<'_>) -> Option<&'static str> {
    Some(match id.to_id_string().as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.6" => "C",
        "2.5.4.9" => "street",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        _ => return None,
    })
}

/// Escapes what has a meaning of its own (RFC 4514, section 2.4).
fn escaped(value: &str) -> String {
    let last = value.len() - 1;
    let mut escaped = String::with_capacity(value.len());
    for (at, letter) in value.char_indices() {
        let is_special = matches!(letter, ',' | '+' | '"' | '\\' | '<' | '>' | ';')
            || (letter == '#' && at == 0)
            || (letter == ' ' && (at == 0 || at == last));
        if is_special {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}
