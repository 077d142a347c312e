//! A timeline in one line: a bar for each day or week.

use crate::domain::time::UtcDay;
use crate::pb;

/// Recent activity is drawn day by day, so many days.
const DAYS: i32 = 28;
const WEEK: i32 = 7;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A span without any activity.
const NOTHING: char = '·';

/// Draws the activities of a summary: day by day when all are of the last four weeks, else week by week over the
/// whole window. `None` when there are none, or the days cannot be read.
#[must_use]
pub fn sparkline(summary: &pb::ActivitySummary) -> Option<String> {
    let window = summary.window.as_ref()?;
    let (start, end) = (UtcDay::parse(&window.start_day)?, UtcDay::parse(&window.end_day)?);
    let read = |total: &pb::DayTotal| Some((UtcDay::parse(&total.day)?, total.count));
    let days: Vec<_> = summary.by_day.iter().map(read).collect::<Option<_>>()?;
    let oldest = days.iter().map(|(day, _)| *day).min()?;
    let is_recent = oldest > end.plus(-DAYS);
    let (from, span, unit) = if is_recent { (end.plus(1 - DAYS), 1, "day") } else { (start, WEEK, "week") };
    let counts = count_spans(&days, end, from, span);
    let most = counts.iter().copied().max()?;
    let bars: String = counts.into_iter().map(|count| bar(count, most)).collect();
    Some(format!("{from} {bars} {end}  by {unit}, at most {most}"))
}

/// Counts the activities of each span, oldest first. The last one ends with `end`; the first may begin before
/// `from`, with days on which there is nothing.
fn count_spans(days: &[(UtcDay, i32)], end: UtcDay, from: UtcDay, span: i32) -> Vec<i32> {
    let spans = end.since(from) / span + 1;
    let mut counts = vec![0; usize::try_from(spans).unwrap_or_default()];
    for (day, count) in days {
        let back = usize::try_from(end.since(*day) / span).ok();
        if let Some(slot) = back.and_then(|back| counts.len().checked_sub(back + 1)) {
            counts[slot] += count;
        }
    }
    counts
}

fn bar(count: i32, most: i32) -> char {
    let steps = i64::from(count) * 8;
    let height = usize::try_from((steps + i64::from(most) - 1) / i64::from(most.max(1))).unwrap_or_default();
    height.checked_sub(1).map_or(NOTHING, |index| BARS[index.min(BARS.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(days: &[(&str, i32)]) -> pb::ActivitySummary {
        let window = pb::ActivityWindow {
            start_day: "2026-07-28".to_owned(),
            end_day: "2026-11-24".to_owned(),
            days: 120,
        };
        let total = |(day, count): &(&str, i32)| pb::DayTotal {
            day: (*day).to_owned(),
            count: *count,
            unusual_count: 0,
        };
        let by_day = days.iter().map(total).collect();
        pb::ActivitySummary { window: Some(window), by_day, ..Default::default() }
    }

    #[test]
    fn four_weeks_are_drawn_day_by_day() {
        let drawn = sparkline(&summary(&[("2026-10-28", 1), ("2026-11-23", 8), ("2026-11-24", 4)])).unwrap();
        assert_eq!(drawn, "2026-10-28 ▁·························█▄ 2026-11-24  by day, at most 8");
    }

    #[test]
    fn a_longer_time_is_drawn_week_by_week() {
        let days = [("2026-07-28", 1), ("2026-10-27", 16), ("2026-11-18", 2), ("2026-11-24", 6)];
        let drawn = sparkline(&summary(&days)).unwrap();
        assert_eq!(drawn, "2026-07-28 ▁············█···▄ 2026-11-24  by week, at most 16");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(sparkline(&summary(&[])), None);
        assert_eq!(sparkline(&pb::ActivitySummary::default()), None);
    }
}
