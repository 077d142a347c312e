//! Who a person is, and when two names are one person (design section 6, "Identity of a user").

use crate::domain::ids::is_invisible;
use crate::domain::sorted_set::SortedSet;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// The most keys that all records together give to one person. A record names far fewer; without a bound, records
/// that share one key make a person of which every change costs as much as all that was said before.
pub const KEYS_MAX: usize = 128;
/// The most SMTP addresses of one user in one record.
pub const ADDRESSES_MAX: usize = 20;

/// Text that names a person, or may: a UPN, a file name, an address. It has no `Display` and no `Serialize`, and
/// its `Debug` hides it; [`Personal::spell`] is for the gate, the store and the formats alone (`clippy.toml`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Personal(Arc<str>);

impl Personal {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn spell(&self) -> &str {
        &self.0
    }

    /// Says whether there is any text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns it without a copy.
    #[must_use]
    pub fn borrowed(&self) -> PersonalText<'_> {
        PersonalText(&self.0)
    }
}

/// The same, where it stands in something else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PersonalText<'a>(&'a str);

impl<'a> PersonalText<'a> {
    /// Hides a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn spell(self) -> &'a str {
        self.0
    }
}

impl From<PersonalText<'_>> for Personal {
    fn from(text: PersonalText<'_>) -> Self {
        Self::new(text.0)
    }
}

impl fmt::Debug for PersonalText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<personal>")
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<personal>")
    }
}

/// One way to name a person, normalised so that equal keys are one person. Ordered by strength: the first key of a
/// person is the one by which ties are broken.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum IdentityKey {
    /// The Microsoft Entra object id.
    ObjectId(Uuid),
    /// The Windows security identifier, in upper case.
    Sid(Personal),
    /// A UPN or an SMTP address: one name space, for a UPN is a mail address nearly everywhere.
    Address(Personal),
    /// `domain\account`.
    Account(Personal),
}

/// Why a text is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Blank.
    #[error("must not be blank")]
    Blank,
    /// Longer than [`KEY_BYTES_MAX`].
    #[error("must be at most 256 bytes")]
    TooLong,
    /// Holds controls, bidirectional or zero-width characters, blanks inside, or characters that normalisation turns into
    /// ASCII (the Kelvin sign becomes `k`): they make two people look alike.
    #[error("holds a character that no account name may hold")]
    Character,
    /// Not of the form that its kind has.
    #[error("is not of the form {0}")]
    Form(&'static str),
}

impl IdentityKey {
    /// Reads an Entra object id: a GUID in any case, with or without braces.
    ///
    /// # Errors
    /// When it is no GUID, or the nil one.
    pub fn object_id(text: &str) -> Result<Self, KeyError> {
        match Uuid::try_parse(text.trim()) {
            Ok(id) if !id.is_nil() => Ok(Self::ObjectId(id)),
            _ => Err(KeyError::Form("of a GUID")),
        }
    }

    /// Reads a SID.
    ///
    /// # Errors
    /// When it is not `S-1-` and numbers.
    pub fn sid(text: &str) -> Result<Self, KeyError> {
        let text = normalised(text)?.to_ascii_uppercase();
        let numbers = text.strip_prefix("S-1-").ok_or(KeyError::Form("S-1-..."))?;
        if numbers.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())) {
            Ok(Self::Sid(Personal::new(&text)))
        } else {
            Err(KeyError::Form("S-1-..."))
        }
    }

    /// Reads a UPN or an SMTP address.
    ///
    /// # Errors
    /// When it has not exactly one `@` with something on both sides.
    pub fn address(text: &str) -> Result<Self, KeyError> {
        let text = normalised(text)?;
        match text.split_once('@') {
            Some((name, domain)) if !name.is_empty() && !domain.is_empty() && !domain.contains('@') => {
                Ok(Self::Address(Personal::new(&text)))
            }
            _ => Err(KeyError::Form("user@domain")),
        }
    }

    /// Reads `domain\account`.
    ///
    /// # Errors
    /// When either part is missing.
    pub fn account(text: &str) -> Result<Self, KeyError> {
        let text = normalised_inner_blanks(text, true)?;
        match text.split_once('\\') {
            Some((domain, account)) if !domain.is_empty() && !account.is_empty() => {
                Ok(Self::Account(Personal::new(&text)))
            }
            _ => Err(KeyError::Form("domain\\account")),
        }
    }
}

/// Trims, NFC, ASCII-lower-cases; nothing looser, for casefolding and NFKC merge different people.
fn normalised(text: &str) -> Result<Cow<'_, str>, KeyError> {
    normalised_inner_blanks(text, false)
}

fn normalised_inner_blanks(text: &str, inner_blanks: bool) -> Result<Cow<'_, str>, KeyError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(KeyError::Blank);
    }
    if text.len() > KEY_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    // Most names: ASCII is in normal form, and of its characters only controls cannot be seen.
    if text.bytes().all(|b| b.is_ascii_graphic() || (b == b' ' && inner_blanks)) {
        let is_lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        return Ok(if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) });
    }
    let becomes_ascii = |c: char| !c.is_ascii() && std::iter::once(c).nfc().all(|n| n.is_ascii());
    if text
        .chars()
        .any(|c| is_invisible(c) || becomes_ascii(c) || (c.is_whitespace() && !(inner_blanks && c == ' ')))
    {
        return Err(KeyError::Character);
    }
    Ok(Cow::Owned(text.nfc().collect::<String>().to_ascii_lowercase()))
}

/// What one record says about who a person is: its keys and the name to show.
///
/// The set of keys is ordered, so two records with the same keys are equal however they were written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Identity {
    keys: SortedSet<IdentityKey>,
    upn: Option<IdentityKey>,
    /// The name to show to people. Never compared.
    pub display_name: Option<Personal>,
}

impl Identity {
    /// Adds a key.
    #[must_use]
    pub fn with(mut self, key: IdentityKey) -> Self {
        self.keys.insert(key);
        self
    }

    /// Adds the UPN: an address that is shown as the UPN and comes before other addresses.
    #[must_use]
    pub fn with_upn(mut self, key: IdentityKey) -> Self {
        self.upn = Some(key.clone());
        self.with(key)
    }

    /// Adds what another record says about the same person. What is known already stays.
    pub fn absorb(&mut self, other: &Self) {
        self.keys.absorb(&other.keys);
        if self.upn.is_none() {
            self.upn.clone_from(&other.upn);
        }
        if self.display_name.is_none() {
            self.display_name.clone_from(&other.display_name);
        }
    }

    /// Returns the same person without the name to show, and without saying which address is the UPN.
    #[must_use]
    pub fn keys_alone(self) -> Self {
        Self { keys: self.keys, upn: None, display_name: None }
    }

    /// Says whether both together have more keys than one person may have.
    fn is_too_much_with(&self, other: &Self) -> bool {
        let more = || other.keys().filter(|key| !self.has(key)).count();
        self.keys.len() + other.keys.len() > KEYS_MAX && self.keys.len() + more() > KEYS_MAX
    }

    /// Returns the keys, strongest first.
    pub fn keys(&self) -> impl Iterator<Item = &IdentityKey> {
        self.keys.iter()
    }

    /// Says whether it has that key.
    #[must_use]
    pub fn has(&self, key: &IdentityKey) -> bool {
        self.keys.contains(key)
    }

    /// Says whether it names nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the Entra object id.
    #[must_use]
    pub fn object_id(&self) -> Option<Uuid> {
        match self.keys.first()? {
            IdentityKey::ObjectId(id) => Some(*id),
            _ => None, // Object ids come first.
        }
    }

    /// Returns the UPN, if one was given as such.
    #[must_use]
    pub fn upn(&self) -> Option<&Personal> {
        match &self.upn {
            Some(IdentityKey::Address(upn)) => Some(upn),
            _ => None,
        }
    }

    /// Returns the key by which ties are broken: the object id, else the SID, else the UPN, else the first of the
    /// other addresses, else the account. Does not depend on the order in which keys were learned.
    #[must_use]
    pub fn canonical(&self) -> Option<&IdentityKey> {
        match self.keys.first() {
            strong @ Some(IdentityKey::ObjectId(_) | IdentityKey::Sid(_)) => strong,
            other => self.upn.as_ref().or(other),
        }
    }

    /// Says whether both may be one person: they do not claim different object ids, nor different SIDs.
    #[must_use]
    pub fn is_compatible(&self, other: &Self) -> bool {
        fn clash<K: PartialEq>(a: Option<K>, b: Option<K>) -> bool {
            matches!((a, b), (Some(a), Some(b)) if a != b)
        }
        !clash(self.object_id(), other.object_id()) && !clash(self.sid(), other.sid())
    }

    /// Says whether both are names of one account: they have the same object id, the same SID, or the same UPN. Of
    /// names without a UPN, the first address counts as one, or without any address the first account. An alias in
    /// common says nothing, for aliases are shared and given away.
    #[must_use]
    pub fn is_account_of(&self, other: &Self) -> bool {
        let for_ever = |key: &&IdentityKey| matches!(key, IdentityKey::ObjectId(_) | IdentityKey::Sid(_));
        let same_name = self.sign_in_name().is_some_and(|name| Some(name) == other.sign_in_name());
        same_name || self.keys().filter(for_ever).any(|key| other.has(key))
    }

    fn sign_in_name(&self) -> Option<&IdentityKey> {
        let weak = |key: &&IdentityKey| matches!(key, IdentityKey::Address(_) | IdentityKey::Account(_));
        self.upn.as_ref().or_else(|| self.keys().find(weak))
    }

    /// Says whether an address marks a guest of another organisation: Entra's `#EXT#`, or SharePoint's for somebody
    /// who has no account at all.
    #[must_use]
    pub fn is_guest_name(&self) -> bool {
        let is_guest = |address: &str| address.contains("#ext#@") || address.starts_with("urn:spo:guest#");
        self.keys.iter().any(|key| matches!(key, IdentityKey::Address(address) if is_guest(&address.0)))
    }

    /// Says whether a key names a service, which is never an actor (`domain.md` 3.1).
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.keys.iter().any(|key| match key {
            IdentityKey::ObjectId(_) => false,
            IdentityKey::Sid(name) | IdentityKey::Address(name) | IdentityKey::Account(name) => {
                is_service_name(&name.0)
            }
        })
    }

    fn sid(&self) -> Option<&Personal> {
        // Not by looking at every key: people of an alert are compared with all that is known of them so far.
        match self.keys.first_from(&IdentityKey::Sid(Personal::default()))? {
            IdentityKey::Sid(sid) => Some(sid),
            _ => None,
        }
    }
}

/// Names that act for users or for the system and are never involved users (`domain.md` 3.1).
const SERVICE_NAMES: [&str; 12] = [
    "dlpagent",
    "securitycompliancealerts",
    "app@sharepoint",
    "sharepoint\\system",
    "root",
    "system",
    "local service",
    "network service",
    "s-1-5-18", // LocalSystem; 19 and 20 are the two services above.
    "s-1-5-19",
    "s-1-5-20",
    "s-1-0-0",
];
/// How others of them begin.
const SERVICE_PREFIXES: [&str; 2] = ["nt authority\\", "nt service\\"];

/// Says whether a raw account name, in whatever case, is a service's.
#[must_use]
pub fn is_service_name(name: &str) -> bool {
    let name = name.trim();
    let begins = |prefix: &str| {
        let beginning = name.as_bytes().get(..prefix.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    SERVICE_NAMES.iter().any(|service| name.eq_ignore_ascii_case(service))
        || SERVICE_PREFIXES.iter().any(|prefix| begins(prefix))
}

/// A number that the store gives to a person of a tenant, once.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UserNo(pub u32);

/// A known person of a tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The person's number in the store.
    pub no: UserNo,
    /// All keys by which records are joined to the person. Which of its addresses is the UPN, and the name to show,
    /// are those that were declared, if any.
    pub identity: Identity,
    /// Declared by `UpsertUsers`, not only named by other records.
    pub declared: bool,
    /// Those keys of a declared person that other records taught. Nothing of them is shown ([`User::shown`]): a
    /// record that may not leave can have taught them. Empty for a person who was not declared, of whom all keys
    /// were learned so.
    pub learned: BTreeSet<IdentityKey>,
    /// An account of another organisation.
    pub guest: bool,
    /// A position that makes exfiltration costly. Never shown.
    pub potential_high_impact: bool,
    /// An earlier case was resolved as a violation. Never shown.
    pub confirmed_violation_before: bool,
}

impl User {
    /// Returns a person of whom only the keys of a record are known.
    #[must_use]
    pub fn named(no: UserNo, identity: Identity) -> Self {
        Self {
            no,
            guest: identity.is_guest_name(),
            identity: identity.keys_alone(),
            declared: false,
            learned: BTreeSet::new(),
            potential_high_impact: false,
            confirmed_violation_before: false,
        }
    }

    /// Says whether [`User::learn`] would change anything.
    #[must_use]
    pub fn would_learn(&self, record: &Identity) -> bool {
        !record.keys().all(|key| self.identity.has(key))
    }

    /// Takes in the keys of a record that is no declaration. Its display name says nothing: only a declaration's
    /// is ever shown.
    pub fn learn(&mut self, record: &Identity) {
        if self.declared {
            self.learned.extend(record.keys().filter(|key| !self.identity.has(key)).cloned());
        }
        self.identity.keys.absorb(&record.keys);
        self.guest |= self.identity.is_guest_name();
    }

    /// Returns the names under which the person is shown to somebody who mentioned them: what was declared, and what
    /// the mention itself says where the two do not contradict each other. The mention alone for a person who was not
    /// declared.
    #[must_use]
    pub fn shown(&self, mention: &Identity) -> Identity {
        let Some(mut shown) = self.declared_identity() else { return mention.clone() };
        if shown.is_compatible(mention) {
            shown.absorb(mention);
        }
        shown
    }

    /// Returns what was declared, if anything was.
    #[must_use]
    pub fn declared_identity(&self) -> Option<Identity> {
        self.declared.then(|| {
            let mut declared = self.identity.clone();
            declared.keys.retain(|key| !self.learned.contains(key));
            declared
        })
    }

    /// Returns the names after a declaration of all of them, and which of them nobody declared. A first declaration
    /// joins the keys that records taught. A later one takes away all names that it lacks but the object id and the
    /// SID: these belong to one person for ever, while addresses and accounts are given to others.
    #[must_use]
    pub fn renamed(&self, declared: Identity) -> (Identity, BTreeSet<IdentityKey>) {
        let stays = |key: &&IdentityKey| {
            !self.declared || matches!(key, IdentityKey::ObjectId(_) | IdentityKey::Sid(_))
        };
        let is_learned = |key: &&IdentityKey| !self.declared || self.learned.contains(key);
        let kept: Vec<&IdentityKey> =
            self.identity.keys().filter(stays).filter(|key| !declared.has(key)).collect();
        let learned = kept.iter().copied().filter(is_learned).cloned().collect();
        let mut identity = declared;
        identity.keys.absorb(&kept.into_iter().cloned().collect());
        if identity.display_name.is_none() {
            identity.display_name.clone_from(&self.identity.display_name);
        }
        (identity, learned)
    }
}

/// Where a record's person is found among the known ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Join {
    /// Nobody has any of its keys.
    New,
    /// These people are it: the first takes in the others, and learns the record's keys.
    Same(Vec<UserNo>),
    /// Its keys point at people who cannot be one, or would give one more than [`KEYS_MAX`].
    Conflict,
}

/// Finds the person whom a record names, given all known people who have any of its keys.
///
/// People join if they do not contradict each other, have at most [`KEYS_MAX`] keys, and at most one of them was declared: what undeclared people
/// are called is known from records like this one only. The result does not depend on the order of `hits`.
#[must_use]
pub fn join<'a>(record: &Identity, hits: impl IntoIterator<Item = &'a User>) -> Join {
    let mut hits: Vec<&User> = hits.into_iter().collect();
    hits.sort_by_key(|user| (!user.declared, user.no));
    hits.dedup_by_key(|user| user.no);
    let declared = hits.iter().filter(|user| user.declared).count();
    let mut whole = Cow::Borrowed(record);
    for (n, user) in hits.iter().enumerate() {
        let is_one = whole.is_compatible(&user.identity) && !whole.is_too_much_with(&user.identity);
        if declared > 1 || !is_one {
            return Join::Conflict;
        }
        if n + 1 < hits.len() {
            whole.to_mut().absorb(&user.identity);
        }
    }
    if hits.is_empty() { Join::New } else { Join::Same(hits.iter().map(|user| user.no).collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IdentityKey {
        IdentityKey::address(text).unwrap()
    }

    fn user(no: u32, declared: bool, keys: &[IdentityKey]) -> User {
        let identity = keys.iter().cloned().fold(Identity::default(), Identity::with);
        User { declared, ..User::named(UserNo(no), identity) }
    }

    #[test]
    fn letters_of_ascii_and_composition_do_not_tell_people_apart() {
        assert_eq!(address(" JOHN@CONTOSO.COM "), address("john@contoso.com"));
        assert_eq!(address("jo\u{308}rg@x.de"), address("j\u{f6}rg@x.de"));
    }

    #[test]
    fn look_alikes_stay_different_people_or_are_refused() {
        for (one, other) in [
            ("\u{430}lice@x.com", "alice@x.com"), // Cyrillic
            ("stra\u{df}e@x.com", "strasse@x.com"),
            ("\u{17f}am@x.com", "sam@x.com"),
            ("\u{131}da@x.com", "ida@x.com"),
            ("\u{ff41}nn@x.com", "ann@x.com"),
        ] {
            assert_ne!(address(one), address(other));
        }
        assert_eq!(IdentityKey::address("\u{212a}ate@x.com"), Err(KeyError::Character));
        assert_eq!(IdentityKey::address("a\u{200b}b@x.com"), Err(KeyError::Character));
    }

    #[test]
    fn a_key_must_have_the_form_of_its_kind() {
        for bad in ["", " ", "nobody", "a@b@c", "@x", "x@"] {
            assert!(IdentityKey::address(bad).is_err(), "{bad}");
        }
        assert!(IdentityKey::address(&format!("{}@x.com", "a".repeat(251))).is_err());
        assert!(IdentityKey::sid("S-1-5-21-1-2-3-1001").is_ok());
        assert_eq!(IdentityKey::sid("s-1-5-21-7"), IdentityKey::sid("S-1-5-21-7"));
        assert!(IdentityKey::sid("S-2-5").is_err());
        assert!(IdentityKey::account("CORP\\John Doe").is_ok());
        assert!(IdentityKey::account("john").is_err());
        assert!(IdentityKey::object_id("00000000-0000-0000-0000-000000000000").is_err());
    }

    #[test]
    fn nobody_gets_more_keys_than_a_person_has() {
        let full = (0..KEYS_MAX).map(|n| address(&format!("a{n}@x.com"))).collect::<Vec<_>>();
        let (ann, known) = (user(1, false, &full), &full[0]);
        let record = |keys: &[IdentityKey]| keys.iter().cloned().fold(Identity::default(), Identity::with);
        assert_eq!(join(&record(std::slice::from_ref(known)), [&ann]), Join::Same(vec![UserNo(1)]));
        assert_eq!(join(&record(&[known.clone(), address("b@x.com")]), [&ann]), Join::Conflict);
        let bob = user(2, false, &[address("b@x.com")]);
        assert_eq!(join(&record(&[known.clone(), address("b@x.com")]), [&ann, &bob]), Join::Conflict);
        assert_eq!(join(&record(&[known.clone(), address("b@x.com")]), [&bob, &ann]), Join::Conflict);
    }

    #[test]
    fn debug_never_prints_a_name() {
        let shown = format!("{:?}", user(1, true, &[address("john@contoso.com")]));
        assert!(!shown.contains("john"), "{shown}");
    }

    #[test]
    fn services_are_no_people_and_ext_marks_a_guest() {
        for service in
            ["DlpAgent", "NT AUTHORITY\\SYSTEM", "app@sharepoint", "SHAREPOINT\\system", "S-1-5-18"]
        {
            assert!(is_service_name(service), "{service}");
        }
        assert!(!is_service_name("john@contoso.com"));
        assert!(Identity::default().with(address("x_y.com#EXT#@contoso.com")).is_guest_name());
    }

    #[test]
    fn undeclared_people_join_but_declared_or_contradicting_ones_never_do() {
        let record =
            Identity::default().with(address("a@x.com")).with(IdentityKey::sid("S-1-5-21-1").unwrap());
        let by_address = user(1, false, &[address("a@x.com")]);
        let by_sid = user(2, false, &[IdentityKey::sid("S-1-5-21-1").unwrap()]);
        assert_eq!(join(&record, []), Join::New);
        assert_eq!(join(&record, [&by_sid, &by_address]), Join::Same(vec![UserNo(1), UserNo(2)]));
        let (declared, other) =
            (User { declared: true, ..by_sid.clone() }, User { declared: true, ..by_address });
        assert_eq!(join(&record, [&declared, &other]), Join::Conflict);
        let elsewhere = user(3, false, &[address("a@x.com"), IdentityKey::sid("S-1-5-21-9").unwrap()]);
        assert_eq!(join(&record, [&elsewhere]), Join::Conflict);
    }

    #[test]
    fn ties_are_broken_by_object_id_then_sid_then_upn() {
        let alias_first = Identity::default().with_upn(address("z@x.com")).with(address("a@x.com"));
        assert_eq!(alias_first.canonical(), Some(&address("z@x.com")));
        let sid = IdentityKey::sid("S-1-5-21-1").unwrap();
        assert_eq!(alias_first.with(sid.clone()).canonical(), Some(&sid));
    }
}
