//! How long certificates and revocation lists hold, and who can read what is secret.

use super::finding::Finding;
use crate::config::Config;
use crate::transport::tls;
use chrono::{DateTime, TimeDelta, Utc};
use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

const CERTIFICATE: &str = "certificate";
const AUTHORITIES: &str = "authorities";
const REVOCATIONS: &str = "revocations";
const SECRETS: &str = "secrets";

/// Who renews a certificate needs some days for it.
const DAYS_LEFT_NOTED: i64 = 14;
/// Whoever is neither the owner nor of the group, and may do anything with a file.
const OTHERS: u32 = 0o007;

/// From when until when something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Validity {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Looks at the files that the settings name. What cannot be read at all was said before.
pub fn findings(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(own) = validities(&config.tls.certificate).into_iter().reduce(shorter) {
        findings.push(own_certificate(own, now));
    }
    for (key, path) in [
        ("tls.client_ca", &config.tls.client_ca),
        ("export.syslog.ca", &config.export.syslog.ca),
        ("management_api.webhook_ca", &config.management_api.webhook_ca),
        ("postgres.ca", &config.postgres.ca),
    ] {
        findings.extend(authorities(key, &validities(path), now));
    }
    findings.extend(revocations(&config.tls.client_crl, now));
    for (key, path) in
        [("tls.private_key", &config.tls.private_key), ("postgres.url_file", &config.postgres.url_file)]
    {
        findings.extend(readers(key, path));
    }
    findings
}

/// Returns the times of all certificates in a file; none of one that cannot be read or is not named.
fn validities(path: &Path) -> Vec<Validity> {
    let all = tls::certificates(path).unwrap_or_default();
    let parsed = all.iter().filter_map(|one| X509Certificate::from_der(one).ok());
    let valid = |(_, one): (&[u8], X509Certificate<'_>)| {
        let validity = one.validity();
        Some(Validity { from: instant(validity.not_before)?, until: instant(validity.not_after)? })
    };
    parsed.filter_map(valid).collect()
}

fn instant(time: ASN1Time) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.timestamp(), 0)
}

/// A chain holds while all of it does.
fn shorter(one: Validity, other: Validity) -> Validity {
    Validity { from: one.from.max(other.from), until: one.until.min(other.until) }
}

fn own_certificate(Validity { from, until }: Validity, now: DateTime<Utc>) -> Finding {
    let (day, days) = (until.date_naive(), (until - now).num_days());
    let advice =
        "put a new one, with its key, in the place of the old: it is taken within 2 s, without a restart";
    if until <= now {
        return Finding::failure(
            CERTIFICATE,
            format!("the server's has expired on {day}: no client believes it"),
            advice,
        );
    }
    if from > now {
        let text = format!("the server's is valid from {} on: no client believes it yet", from.date_naive());
        return Finding::failure(CERTIFICATE, text, "check this machine's clock, or use the one before");
    }
    let text = format!("the server's is valid until {day}, {days} days");
    if days < DAYS_LEFT_NOTED {
        Finding::warning(CERTIFICATE, text, advice)
    } else {
        Finding::ok(CERTIFICATE, text)
    }
}

fn authorities(key: &str, all: &[Validity], now: DateTime<Utc>) -> Option<Finding> {
    let last = all.iter().map(|one| one.until).max()?;
    let expired = all.iter().filter(|one| one.until <= now).count();
    let advice = "put the authority's present certificate into the file";
    if expired == all.len() {
        let text = format!("{key}: all have expired: nothing that they signed is believed");
        return Some(Finding::failure(AUTHORITIES, text, advice));
    }
    let text =
        format!("{key}: {} of {} are valid, until {}", all.len() - expired, all.len(), last.date_naive());
    let is_near = last - now < TimeDelta::days(DAYS_LEFT_NOTED);
    Some(if is_near { Finding::warning(AUTHORITIES, text, advice) } else { Finding::ok(AUTHORITIES, text) })
}

fn revocations(path: &Path, now: DateTime<Utc>) -> Option<Finding> {
    let lists = CertificateRevocationListDer::pem_file_iter(path).ok()?.flatten().collect::<Vec<_>>();
    let next = |list: &CertificateRevocationListDer<'_>| {
        let (_, list) = CertificateRevocationList::from_der(list).ok()?;
        list.next_update().and_then(instant)
    };
    let first = lists.iter().filter_map(next).min()?;
    let advice = "publish lists in time, and put them into tls.client_crl";
    Some(if first <= now {
        let text =
            format!("a list should have been renewed on {}: its clients are refused", first.date_naive());
        Finding::failure(REVOCATIONS, text, advice)
    } else {
        Finding::ok(REVOCATIONS, format!("the next list is due by {}", first.date_naive()))
    })
}

fn readers(key: &str, path: &Path) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    Some(if mode & OTHERS == 0 {
        Finding::ok(SECRETS, format!("{key}: only its owner and its group reach it"))
    } else {
        let text = format!("{key}: every account of this machine reaches it (mode {:03o})", mode & 0o777);
        Finding::warning(SECRETS, text, format!("chmod o= {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn valid(from_days: i64, until_days: i64) -> Validity {
        Validity { from: NOW + TimeDelta::days(from_days), until: NOW + TimeDelta::days(until_days) }
    }

    #[test]
    fn a_certificate_is_judged_by_the_days_that_are_left() {
        let verdict = |from, until| own_certificate(valid(from, until), NOW).verdict;
        assert_eq!(verdict(-1, 14), Verdict::Ok);
        assert_eq!(verdict(-1, 13), Verdict::Warning);
        assert_eq!(verdict(-1, 0), Verdict::Failure);
        assert_eq!(verdict(1, 100), Verdict::Failure, "it is not valid yet");
    }

    #[test]
    fn a_chain_holds_while_all_of_it_does() {
        assert_eq!(shorter(valid(-9, 5), valid(-1, 50)), valid(-1, 5));
    }

    #[test]
    fn authorities_may_have_expired_but_not_all() {
        let verdict =
            |all: &[Validity]| authorities("tls.client_ca", all, NOW).map(|finding| finding.verdict);
        assert_eq!(verdict(&[]), None);
        assert_eq!(verdict(&[valid(-9, -1), valid(-1, 14)]), Some(Verdict::Ok));
        assert_eq!(verdict(&[valid(-9, -1), valid(-1, 13)]), Some(Verdict::Warning));
        assert_eq!(verdict(&[valid(-9, -1), valid(-9, 0)]), Some(Verdict::Failure));
    }
}
