//! Answers about users. The only way to read them is a [`Reading`], and a grant opens one.

use crate::domain::dlp_alert;
use crate::domain::dlp_alert::Standing;
use crate::domain::facts::TenantRules;
use crate::domain::indicator::Indicator;
use crate::domain::insight::Tally;
use crate::domain::known_facts::SharedFacts;
use crate::domain::level;
use crate::domain::level::Assessment;
use crate::domain::reason;
use crate::domain::reason::Reason;
use crate::domain::severity::Severity;
use crate::domain::time::{UtcDay, Window};
use crate::domain::timeline;
use crate::domain::timeline::{ExfiltrationActivity, Summary};
use crate::domain::user::{Identity, UserNo};
pub use crate::engine::shelf::Shelf;
use crate::gate::admission::{Refusal, SharingGrant};
use crate::store::Hits;
use chrono::{DateTime, Utc};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A view of some of one tenant's people at one instant.
pub struct Reading<'g> {
    grant: &'g SharingGrant,
    rules: Arc<TenantRules>,
    found: Vec<Hits>,
}

/// One person whom an alert involves, with their level. What else may be shown of them is in the reading.
#[derive(Clone, Debug)]
pub struct Involved {
    /// The names that were declared for the person and those that the alert said ([`crate::domain::user::User::shown`]). Decides ties too,
    /// so that no order depends on what hidden facts call somebody.
    pub identity: Identity,
    /// The level, which is the highest of theirs when the keys point at several people.
    pub assessment: Assessment,
    /// The keys point at several known people.
    pub ambiguous: bool,
    /// Which of the alert's mentions are this person, by index, lowest first.
    pub mentions: Vec<usize>,
    /// The facts from which more may be shown: of one known person, above None.
    shown: Option<SharedFacts>,
}

/// The people of one alert, highest risk first, and until when that order holds.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The people.
    pub involved: Vec<Involved>,
    /// When it must be asked for again.
    pub valid_until: DateTime<Utc>,
}

/// The severity of one alert, and until when it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// The level of the highest-risk person (`risk-model.md` 7).
    pub level: Severity,
    /// When it must be asked for again.
    pub valid_until: DateTime<Utc>,
}

impl Queue {
    /// Returns the column of the alert.
    #[must_use]
    pub fn column(&self) -> Column {
        let level = self.involved.first().map_or(Severity::None, |first| first.assessment.level);
        Column { level, valid_until: self.valid_until }
    }
}

/// Which part of a timeline is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TimelineQuery {
    /// The first day; the lookback's when unset.
    pub first: Option<UtcDay>,
    /// The last day; today when unset.
    pub last: Option<UtcDay>,
    /// These indicators only; all when empty.
    pub indicators: Vec<Indicator>,
    /// The oldest first.
    pub oldest_first: bool,
}

/// Where a page of a timeline ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// When the last activity on the page happened.
    pub at: DateTime<Utc>,
    /// Its id.
    pub activity_id: String,
}

/// A page of a timeline.
pub struct Page<'a> {
    /// The activities.
    pub rows: Vec<ExfiltrationActivity<'a>>,
    /// Where the next page begins behind.
    pub next: Option<Cursor>,
}

impl<'g> Reading<'g> {
    /// Reads people, all as of one instant. Whom a policy keeps from the caller is nobody (`domain.md` 7).
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn open(grant: &'g mut SharingGrant, people: &[&Identity]) -> Result<Self, Refusal> {
        let snapshot = grant.look_up(people).await?;
        Ok(Self { grant, rules: snapshot.rules, found: snapshot.found })
    }
}

impl Reading<'_> {
    /// Returns the grant under which it is. It takes no further readings as long as this one lives.
    pub fn grant(&self) -> &SharingGrant {
        self.grant
    }

    /// Returns the instant for which it holds.
    #[must_use]
    pub fn as_of(&self) -> DateTime<Utc> {
        self.grant.as_of()
    }

    /// Returns the days that the tenant shares.
    #[must_use]
    pub fn lookback(&self) -> Window {
        self.rules.settings.lookback.window(UtcDay::of(self.as_of()))
    }

    /// Joins the mentions of an alert to people and puts the highest risk first (`risk-model.md` 7). The mentions
    /// are those that were read from position `at` on.
    #[must_use]
    pub fn queue(&self, mentions: &[&Identity], at: usize) -> Queue {
        let found = &self.found[at..at + mentions.len()];
        let by_no: BTreeMap<UserNo, &SharedFacts> =
            found.iter().flatten().map(|facts| (facts.user.no, facts)).collect();
        let hits: Vec<(Identity, Vec<UserNo>)> = mentions
            .iter()
            .zip(found)
            .map(|(mention, found)| {
                (Identity::clone(mention), found.iter().map(|facts| facts.user.no).collect())
            })
            .collect();
        let mut involved: Vec<(Standing, Involved)> = dlp_alert::join_mentions(hits)
            .into_iter()
            .map(|person| {
                let known: Vec<SharedFacts> = person.users.iter().map(|no| Arc::clone(by_no[no])).collect();
                let involved = self.involved(person.identity, person.mentions, &known);
                (involved.standing(), involved)
            })
            .collect();
        involved.sort_by(|(a, _), (b, _)| a.cmp(b));
        let involved: Vec<Involved> = involved.into_iter().map(|(_, involved)| involved).collect();
        let valid_until = involved
            .iter()
            .map(|involved| involved.assessment.valid_until)
            .fold(level::unknown(self.as_of()).valid_until, DateTime::min);
        Queue { involved, valid_until }
    }

    /// Returns the column of an alert with `mentions` mentions, which were read from position `at` on, and until when it
    /// holds: what [`Reading::queue`] has for it. Which of them are one person makes no difference to either.
    #[must_use]
    pub fn column(&self, mentions: usize, at: usize) -> Column {
        let unknown = level::unknown(self.as_of());
        let mut column = Column { level: unknown.level, valid_until: unknown.valid_until };
        for facts in self.found[at..at + mentions].iter().flatten() {
            let assessment = facts.assess(&self.rules, self.as_of());
            column.level = column.level.max(assessment.level);
            column.valid_until = column.valid_until.min(assessment.valid_until);
        }
        column
    }

    /// Returns the person at position `at`, as if an alert involved them alone.
    #[must_use]
    pub fn person(&self, mention: &Identity, at: usize) -> Involved {
        self.involved(mention.clone(), vec![0], &self.found[at])
    }

    fn involved(&self, mention: Identity, mentions: Vec<usize>, known: &[SharedFacts]) -> Involved {
        let assessed: Vec<Assessment> =
            known.iter().map(|facts| facts.assess(&self.rules, self.as_of())).collect();
        let valid_until = assessed.iter().map(|one| one.valid_until).min();
        let highest = assessed.into_iter().max_by_key(|one| (one.level, one.score, one.latest_exfiltration));
        let mut assessment = highest.unwrap_or_else(|| level::unknown(self.as_of()));
        assessment.valid_until = valid_until.unwrap_or(assessment.valid_until);
        let (identity, shown) = match known {
            [only] => {
                let is_shown = assessment.level > Severity::None;
                (only.user.shown(&mention), is_shown.then(|| Arc::clone(only)))
            }
            _ => (mention, None),
        };
        Involved { identity, assessment, ambiguous: known.len() > 1, mentions, shown }
    }

    /// Returns what `make` makes of a person of whom more may be shown, with its size in bytes: anew, or what it has made of
    /// the same facts and rules on the same day, if that `fits` and is still on the shelf.
    pub fn derived<T: Any + Send + Sync>(
        &self,
        involved: &Involved,
        shelf: &Shelf,
        fits: impl FnOnce(&T) -> bool,
        make: impl FnOnce() -> (T, usize),
    ) -> Option<Arc<T>> {
        let facts = involved.shown.as_ref()?;
        let today = UtcDay::of(self.as_of());
        if let Some(kept) = Shelf::get(facts, &self.rules, today, fits) {
            return Some(kept);
        }
        let (made, bytes) = make();
        let made = Arc::new(made);
        shelf.put(facts, &self.rules, today, (Arc::clone(&made), bytes));
        Some(made)
    }

    /// Returns why a person has their level (`risk-model.md` 8), and sums up what they did over the lookback, from
    /// exfiltration alone; nothing for a person at None.
    #[must_use]
    pub fn summed_up(&self, involved: &Involved) -> Option<(Vec<Reason>, Summary)> {
        let (facts, settings, lookback) = (involved.shown.as_ref()?, &self.rules.settings, self.lookback());
        let tally = Tally::of(&facts.activities, lookback.last);
        let reasons = reason::reasons_of(&tally, settings, lookback.last);
        Some((reasons, timeline::summary_of(&tally, settings, lookback)))
    }

    /// Sums up a person's exfiltration over the days of a query; nothing for a person at None.
    #[must_use]
    pub fn summary_of(&self, involved: &Involved, query: &TimelineQuery) -> Option<Summary> {
        let facts = involved.shown.as_ref()?;
        Some(timeline::summarise(facts, &self.rules.settings, self.window(query)?))
    }

    /// Returns the days that a query covers: at most the lookback. Nothing when it asks for none of these days.
    #[must_use]
    pub fn window(&self, query: &TimelineQuery) -> Option<Window> {
        let lookback = self.lookback();
        let asked = Window {
            first: query.first.unwrap_or(lookback.first),
            last: query.last.unwrap_or(lookback.last),
        };
        Some(lookback.and(asked)).filter(|window| window.days() > 0)
    }

    /// Returns a page of a person's exfiltration activities; nothing for a person at None.
    #[must_use]
    pub fn timeline<'a>(
        &'a self,
        involved: &'a Involved,
        query: &TimelineQuery,
        after: Option<&Cursor>,
        size: usize,
    ) -> Page<'a> {
        let (Some(facts), Some(window)) = (&involved.shown, self.window(query)) else {
            return Page { rows: Vec::new(), next: None };
        };
        let all = timeline::exfiltration(facts, &self.rules.settings, window);
        let all: Box<dyn Iterator<Item = ExfiltrationActivity<'a>>> =
            if query.oldest_first { Box::new(all) } else { Box::new(all.rev()) };
        let wanted = |row: &ExfiltrationActivity<'_>| {
            query.indicators.is_empty() || query.indicators.contains(row.activity().indicator)
        };
        let behind = |row: &ExfiltrationActivity<'_>| {
            after.is_none_or(|cursor| {
                let row = row.activity();
                let order = row.at.cmp(&cursor.at);
                let order = order.then_with(|| row.id.with_text(|id| id.cmp(&cursor.activity_id)));
                if query.oldest_first { order.is_gt() } else { order.is_lt() }
            })
        };
        let mut rows: Vec<_> = all.filter(wanted).filter(behind).take(size + 1).collect();
        let more = rows.len() > size;
        rows.truncate(size);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|last| Cursor { at: last.activity().at, activity_id: last.activity().id.text() });
        Page { rows, next }
    }
}

impl Involved {
    /// Returns the number of the known person of whom more may be shown.
    #[must_use]
    pub fn number(&self) -> Option<UserNo> {
        self.shown.as_ref().map(|facts| facts.user.no)
    }

    fn standing(&self) -> Standing {
        Standing {
            level: self.assessment.level,
            score: self.assessment.score,
            latest_exfiltration: self.assessment.latest_exfiltration,
            id: self.identity.canonical().cloned(),
        }
    }
}
