//! Pseudonyms of users, in the look that the product gives them (`domain.md` 7): `Anon`, three letters or digits, a
//! dash, three digits.

use std::fmt;

const SIGNS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A user's pseudonym: drawn at random and kept, never derived from a name, so that nobody can work it out from one.
/// Unique in the tenant as long as there are fewer users than [`Pseudonym::COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Pseudonym(u32);

impl Pseudonym {
    /// How many there are. Two of 8,000 drawn blindly would be the same with even odds, so whoever draws must look.
    pub const COUNT: u32 = 36 * 36 * 36 * 1_000;

    /// Returns the one of a number below [`Pseudonym::COUNT`].
    #[must_use]
    pub fn numbered(number: u32) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// Reads one as it is spelled.
    #[must_use]
    pub fn spelled(text: &str) -> Option<Self> {
        let (signs, digits) = text.strip_prefix("Anon")?.split_once('-')?;
        let is_form = signs.len() == 3 && digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit());
        let place =
            |sign: u8| SIGNS.iter().position(|known| *known == sign).and_then(|at| u32::try_from(at).ok());
        let signs =
            is_form.then(|| signs.bytes().try_fold(0, |sum, sign| Some(sum * 36 + place(sign)?)))??;
        Self::numbered(signs * 1_000 + digits.parse::<u32>().ok()?)
    }

    /// Returns its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (signs, digits) = (self.0 / 1_000, self.0 % 1_000);
        let sign = |place: u32| char::from(SIGNS[(signs / place % 36) as usize]);
        write!(f, "Anon{}{}{}-{digits:03}", sign(36 * 36), sign(36), sign(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pseudonyms_look_like_the_products() {
        let spelled = |number| Pseudonym::numbered(number).map(|one| one.to_string());
        assert_eq!(spelled(0).as_deref(), Some("Anon000-000"));
        assert_eq!(spelled((18 * 36 + 28) * 1_000 * 36 + 8 * 1_000 + 988).as_deref(), Some("AnonIS8-988"));
        assert_eq!(spelled(Pseudonym::COUNT - 1).as_deref(), Some("AnonZZZ-999"));
        assert_eq!(spelled(Pseudonym::COUNT), None);
    }

    #[test]
    fn no_two_numbers_are_spelled_alike_and_each_is_read_back() {
        let some = (0..Pseudonym::COUNT).step_by(997).map(|n| Pseudonym::numbered(n).unwrap().to_string());
        let some: Vec<String> = some.collect();
        for (spelled, number) in some.iter().zip((0..).step_by(997)) {
            assert_eq!(Pseudonym::spelled(spelled).map(Pseudonym::number), Some(number));
        }
        for text in
            ["", "Anon", "AnonIS8", "AnonIS8-98", "AnonIS8-9888", "anonIS8-988", "AnonIs8-988", "AnonIS8-+98"]
        {
            assert_eq!(Pseudonym::spelled(text), None, "{text}");
        }
        assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), some.len());
    }
}
