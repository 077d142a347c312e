//! All that is kept of one user, in one piece, for a store that takes over what another kept.

use super::change::{read_no, write_no};
use super::codec::{Decoder, Encoder, Malformed};
use super::reviews::Review;
use super::state::{read_facts, read_review, review_bytes, write_facts};
use crate::domain::facts::UserFacts;
use crate::domain::ids::RiskAlertId;
use crate::domain::pseudonym::Pseudonym;
use crate::domain::user::UserNo;

/// All that is kept of one user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// What is known. In a record of facts without the activities, which stand in those of their days.
    pub facts: UserFacts,
    /// The pseudonym.
    pub pseudonym: Pseudonym,
    /// Numbers that turned out to be this user, and the pseudonyms that they had.
    pub former: Vec<(UserNo, Option<Pseudonym>)>,
    /// What is kept of the user's risk alerts beside the facts.
    pub reviews: Vec<(RiskAlertId, Review)>,
}

/// Writes all but the activities.
pub fn write_person(out: &mut Encoder, person: &Person) {
    out.block(&write_facts(&person.facts));
    write_pseudonym(out, person.pseudonym);
    out.count(person.former.len());
    for (user, pseudonym) in &person.former {
        write_no(out, *user);
        out.option(*pseudonym, write_pseudonym);
    }
    let reviews = person.reviews.iter();
    let reviews: Vec<_> = reviews.filter_map(|(id, of)| Some((person.facts.alerts.get(id)?, of))).collect();
    out.count(reviews.len());
    for (alert, review) in reviews {
        out.flag(review.exported);
        out.block(&review_bytes(alert, review));
    }
}

/// Reads it.
pub fn read_person(from: &mut Decoder) -> Result<Person, Malformed> {
    let facts = read_facts(from.block()?)?;
    let pseudonym = read_pseudonym(from)?;
    let former = from.several(|from| Ok((read_no(from)?, from.option(read_pseudonym)?)))?;
    let reviews = from.several(|from| {
        let exported = from.flag()?;
        let (alert, review) = read_review(from.block()?, facts.user.no, exported)?;
        Ok((alert.id, review))
    })?;
    Ok(Person { facts, pseudonym, former, reviews })
}

fn write_pseudonym(out: &mut Encoder, pseudonym: Pseudonym) {
    out.number(pseudonym.number().into());
}

fn read_pseudonym(from: &mut Decoder) -> Result<Pseudonym, Malformed> {
    Pseudonym::numbered(from.small()?).ok_or(Malformed)
}
