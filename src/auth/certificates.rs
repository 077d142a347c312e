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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::ids::TenantId;
    use crate::gate::caller::Denied;
    use crate::gate::rights::{Right, Role};
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};
    use std::fs;
    use tempfile::TempDir;
    use uuid::Uuid;

    const FILE: &str = r#"
        [[principal]]
        name = "connector"
        spiffe = ["spiffe://contoso.com/connector"]
        dns = ["Connector.contoso.com"]
        roles = ["ingestor"]
        tenants = ["00000000-0000-0000-0000-000000000001"]

        [[principal]]
        name = "desk"
        subject = ["CN=Desk\\, first floor,O=Contoso"]
        roles = ["dlp-alert-reader", "security-reader"]
        tenants = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]
    "#;

    struct Desk {
        certificates: Certificates,
        clock: ManualClock,
        folder: TempDir,
    }

    impl Desk {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("principals.toml"), FILE).unwrap();
            let principals = Principals::open(&folder.path().join("principals.toml")).unwrap();
            let clock = ManualClock::at("2026-11-24T12:00:00Z".parse().unwrap());
            Self { certificates: Certificates::new(principals, Arc::new(clock.clone())), clock, folder }
        }

        fn rewrite(&self, text: &str) {
            fs::write(self.folder.path().join("principals.toml"), text).unwrap();
            self.certificates.principals.look_again();
        }

        fn caller(&self, certificate: &[u8]) -> Result<Caller, Unauthenticated> {
            self.certificates.caller(&[certificate.to_vec()])
        }

        fn ask(&self, caller: &Caller, right: Right, tenant: u128) -> Result<(), Denied> {
            let now = self.clock.now();
            let entry = caller.entry(right, now)?;
            entry.access(TenantId::new(Uuid::from_u128(tenant)), now).map(drop)
        }
    }

    fn names(names: &[(DnType, &str)]) -> DistinguishedName {
        let mut all = DistinguishedName::new();
        for (kind, name) in names {
            all.push(kind.clone(), *name);
        }
        all
    }

    fn certificate(subject: &[(DnType, &str)], alternative: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = names(subject);
        params.subject_alt_names = alternative.to_vec();
        params.not_before = date_time_ymd(2026, 11, 1);
        params.not_after = date_time_ymd(2026, 12, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn of_uri(uri: &str) -> SanType {
        SanType::URI(uri.try_into().unwrap())
    }

    fn of_host(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn connector() -> Vec<u8> {
        certificate(&[(DnType::CommonName, "x")], &[of_uri("spiffe://contoso.com/connector")])
    }

    fn desk() -> Vec<u8> {
        certificate(&[(DnType::OrganizationName, "Contoso"), (DnType::CommonName, "Desk, first floor")], &[])
    }

    #[tokio::test]
    async fn a_spiffe_id_a_dns_name_or_a_subject_says_who_calls() {
        let all = Desk::open();
        for known in [connector(), certificate(&[], &[of_host("connector.CONTOSO.com")])] {
            let caller = all.caller(&known).unwrap();
            assert_eq!(caller.principal(), "mtls:connector");
            assert!(all.ask(&caller, Right::IngestActivities, 1).is_ok());
            assert_eq!(all.ask(&caller, Right::EnrichAlert, 1), Err(Denied::PermissionMissing));
            assert_eq!(all.ask(&caller, Right::IngestActivities, 2), Err(Denied::TenantMismatch));
        }
        let caller = all.caller(&desk()).unwrap();
        assert_eq!(caller.roles(), &BTreeSet::from([Role::DlpAlertReader, Role::SecurityReader]));
        assert!(all.ask(&caller, Right::EnrichAlert, 2).is_ok());
    }

    #[tokio::test]
    async fn a_certificate_whose_names_are_nobodys_or_more_than_ones_says_nothing() {
        let all = Desk::open();
        let id = || of_uri("spiffe://contoso.com/connector");
        assert!(all.caller(&connector()).is_ok());
        let others = [
            certificate(&[(DnType::CommonName, "connector.contoso.com")], &[]),
            certificate(&[], &[of_uri("spiffe://contoso.com/connector/")]),
            certificate(&[], &[of_uri("SPIFFE://contoso.com/connector")]),
            certificate(&[], &[of_host("*.contoso.com")]),
            certificate(&[], &[id(), of_uri("https://contoso.com")]),
            certificate(&[(DnType::CommonName, "Desk"), (DnType::OrganizationName, "Contoso")], &[]),
            // The comma is of the name here, and between names there.
            certificate(&[(DnType::CommonName, "Desk, first floor,O=Contoso")], &[]),
            certificate(
                &[(DnType::OrganizationName, "Contoso"), (DnType::CommonName, "Desk, first floor")],
                &[id()],
            ),
            b"no certificate".to_vec(),
        ];
        for other in others {
            assert!(matches!(all.caller(&other), Err(Unauthenticated::Unproven(_))));
        }
        assert!(all.certificates.caller(&[]).is_err());
    }

    #[tokio::test]
    async fn a_certificate_ends_with_its_time_and_with_it_whatever_it_opened() {
        let all = Desk::open();
        let caller = all.caller(&connector()).unwrap();
        assert!(all.ask(&caller, Right::IngestActivities, 1).is_ok());
        all.clock.set("2026-12-01T00:00:00Z".parse().unwrap());
        assert_eq!(all.ask(&caller, Right::IngestActivities, 1), Err(Denied::Lapsed));
        assert!(all.caller(&connector()).is_err());
        all.clock.set("2026-10-31T00:00:00Z".parse().unwrap());
        assert!(all.caller(&connector()).is_err());
    }

    #[tokio::test]
    async fn whoever_the_file_says_something_else_about_is_cut_off_and_the_others_stay() {
        let all = Desk::open();
        let (changed, kept) = (all.caller(&connector()).unwrap(), all.caller(&desk()).unwrap());
        all.rewrite(&FILE.replace("[\"ingestor\"]", "[\"ingestor\", \"auditor\"]"));
        assert_eq!(all.ask(&changed, Right::IngestActivities, 1), Err(Denied::Lapsed));
        assert!(all.ask(&kept, Right::EnrichAlert, 1).is_ok());
        let anew = all.caller(&connector()).unwrap();
        assert!(anew.roles().contains(&Role::Auditor));
        all.rewrite("");
        assert_eq!(all.ask(&anew, Right::IngestActivities, 1), Err(Denied::Lapsed));
        assert_eq!(all.ask(&kept, Right::EnrichAlert, 1), Err(Denied::Lapsed));
        assert!(all.caller(&connector()).is_err());
    }

    #[tokio::test]
    async fn a_file_that_does_not_hold_changes_nothing() {
        let all = Desk::open();
        let caller = all.caller(&connector()).unwrap();
        let path = all.folder.path().join("principals.toml");
        let bad = [
            "[[principal]",
            "[[principal]]\nname = 'x'\n",
            &FILE.replace("ingestor", "root"),
            &FILE.replace("name = \"desk\"", "name = \"connector\""),
            &FILE.replace(
                "subject = [\"CN=Desk\\\\, first floor,O=Contoso\"]",
                "dns = ['connector.contoso.com']",
            ),
            &FILE.replace("spiffe://", "https://"),
            &FILE.replace("roles", "role"),
            &FILE.replace("[\"00000000-0000-0000-0000-000000000001\"]", "[]"),
        ];
        for text in bad {
            fs::write(&path, text).unwrap();
            assert!(Principals::open(&path).is_err(), "{text}");
            all.certificates.principals.look_again();
            assert!(all.ask(&caller, Right::IngestActivities, 1).is_ok(), "{text}");
        }
        fs::remove_file(&path).unwrap();
        all.certificates.principals.look_again();
        assert!(all.ask(&caller, Right::IngestActivities, 1).is_ok());
        all.rewrite(FILE);
        assert!(all.ask(&caller, Right::IngestActivities, 1).is_ok(), "it says the same as before");
    }

    #[test]
    fn a_subject_is_written_in_one_way() {
        let written = |names: &[(DnType, &str)]| {
            let der = certificate(names, &[]);
            subject(X509Certificate::from_der(&der).unwrap().1.subject())
        };
        let common = |name| [(DnType::CommonName, name)];
        let full = [
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Contoso"),
            (DnType::OrganizationalUnitName, "DLP"),
            (DnType::CommonName, "desk"),
        ];
        assert_eq!(written(&full).unwrap(), "CN=desk,OU=DLP,O=Contoso,C=DE");
        assert_eq!(written(&common(" #a+b=\"c\" ")).unwrap(), "CN=\\ #a\\+b=\\\"c\\\"\\ ");
        assert_eq!(written(&common("#1")).unwrap(), "CN=\\#1");
        assert_eq!(written(&common("caf\u{e9}")), None);
        assert_eq!(written(&common("a\u{0}b")), None);
        assert_eq!(written(&[]), None);
        assert_eq!(written(&[(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "a@b")]), None);
    }
}
