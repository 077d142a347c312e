//! The sharing switch over several replicas and one database, as a small model whose every run is tried: replicas that
//! answer at any pace, however long they stand still, whose sessions may be lost at any moment without their knowing, and
//! one that turns sharing off meanwhile. It is the protocol of `src/store/postgres/switch.rs`. Readers take a lock that
//! they share and keep until their bytes are handed over, and refuse to send when they are too old; the switch takes the
//! lock for itself, and returns when whoever had one before is too old. Time is in seconds; a replica that stands still is
//! one whose next step comes late. A session that is lost is one that a cut network ended, or a database that was killed
//! and in whose place another one took over.

use stateright::{Checker, Model, Property};

/// A reader older than this refuses to send. Counted from before it asked for the lock.
const AGE_MAX: u8 = 1;
/// So long the switch waits for readers before it has the database end them.
const PATIENCE: u8 = 2;
/// So long a run is followed: enough for a reader to begin, stand still and go on after the switch has returned.
const HORIZON: u8 = 5;
const REPLICAS: usize = 2;

/// The rules, each of which can be taken out.
#[derive(Clone, Copy, Debug)]
struct Protocol {
    /// A reader that is too old refuses to send.
    refuses_when_old: bool,
    /// The switch takes the lock that no reader may hold meanwhile.
    is_exclusive: bool,
    /// The switch waits for every reader, however long.
    is_strict: bool,
    /// Nothing comes between a reader's look at its age and its sending.
    sends_at_once: bool,
    /// The switch does not return before every reader that had a lock before it is too old.
    waits_for_age: bool,
    /// The database may lose a session, and the lock with it, while the reader goes on.
    loses_sessions: bool,
}

const DEFAULT: Protocol = Protocol {
    refuses_when_old: true,
    is_exclusive: true,
    is_strict: false,
    sends_at_once: true,
    waits_for_age: true,
    loses_sessions: true,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Reader {
    Idle,
    /// Has asked for the shared lock.
    Waiting {
        since: u8,
    },
    /// Has it, and has not yet looked at the switch.
    Locked {
        since: u8,
    },
    /// Saw sharing on, and read people.
    Answering {
        since: u8,
    },
    /// Looked at its age and is about to send.
    Sending {
        since: u8,
    },
    Done,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Switch {
    On,
    Waiting { since: u8 },
    Locked { at: u8 },
    Committed { locked: u8 },
    Returned,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    now: u8,
    is_on: bool,
    readers: [Reader; REPLICAS],
    /// Which of them the database knows as holders. One that it has ended does not know that.
    holds: [bool; REPLICAS],
    switch: Switch,
    was_cut_off: bool,
    was_sent_late: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Step {
    Tick,
    Ask(usize),
    Lock(usize),
    Look(usize),
    Check(usize),
    Send(usize),
    Finish(usize),
    Lose(usize),
    AskOff,
    LockOff,
    EndReaders,
    CommitOff,
    ReturnOff,
}

impl Protocol {
    fn may_send(self, now: u8, since: u8) -> bool {
        !self.refuses_when_old || now - since <= AGE_MAX
    }

    fn reader_steps(self, state: &State, reader: usize, steps: &mut Vec<Step>) {
        let is_locked = matches!(state.switch, Switch::Waiting { .. } | Switch::Locked { .. });
        let is_queued = is_locked && self.is_exclusive;
        if state.holds[reader] && self.loses_sessions {
            steps.push(Step::Lose(reader));
        }
        match state.readers[reader] {
            Reader::Idle => steps.push(Step::Ask(reader)),
            Reader::Waiting { .. } if !is_queued => steps.push(Step::Lock(reader)),
            Reader::Locked { .. } => steps.push(Step::Look(reader)),
            Reader::Answering { since } => {
                if self.may_send(state.now, since) {
                    steps.push(if self.sends_at_once { Step::Send(reader) } else { Step::Check(reader) });
                }
                steps.push(Step::Finish(reader));
            }
            Reader::Sending { .. } => steps.push(Step::Send(reader)),
            Reader::Waiting { .. } | Reader::Done => {}
        }
    }

    fn switch_steps(self, state: &State, steps: &mut Vec<Step>) {
        let is_held = state.holds.contains(&true);
        match state.switch {
            Switch::On => steps.push(Step::AskOff),
            Switch::Waiting { since } => {
                if !is_held || !self.is_exclusive {
                    steps.push(Step::LockOff);
                } else if !self.is_strict && state.now - since >= PATIENCE {
                    steps.push(Step::EndReaders);
                }
            }
            Switch::Locked { .. } => steps.push(Step::CommitOff),
            Switch::Committed { locked } if !self.waits_for_age || state.now > locked + AGE_MAX => {
                steps.push(Step::ReturnOff);
            }
            Switch::Committed { .. } | Switch::Returned => {}
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            now: 0,
            is_on: true,
            readers: [Reader::Idle; REPLICAS],
            holds: [false; REPLICAS],
            switch: Switch::On,
            was_cut_off: false,
            was_sent_late: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.now < HORIZON {
            steps.push(Step::Tick);
        }
        for reader in 0..REPLICAS {
            self.reader_steps(state, reader, steps);
        }
        self.switch_steps(state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Tick => state.now += 1,
            Step::Ask(reader) => state.readers[reader] = Reader::Waiting { since: state.now },
            Step::Lock(reader) => {
                let Reader::Waiting { since } = state.readers[reader] else { return None };
                state.readers[reader] = Reader::Locked { since };
                state.holds[reader] = true;
            }
            // A statement of its own, after the lock: it sees what was committed before the lock was had. A reader whom
            // the database has ended gets an error instead.
            Step::Look(reader) => {
                let Reader::Locked { since } = state.readers[reader] else { return None };
                let is_told = state.is_on && state.holds[reader];
                state.readers[reader] = if is_told { Reader::Answering { since } } else { Reader::Done };
                state.holds[reader] &= is_told;
            }
            Step::Check(reader) => {
                let Reader::Answering { since } = state.readers[reader] else { return None };
                state.readers[reader] = Reader::Sending { since };
            }
            Step::Send(reader) => {
                state.was_sent_late |= state.switch == Switch::Returned;
                if let Reader::Sending { since } = state.readers[reader] {
                    state.readers[reader] = Reader::Answering { since };
                }
            }
            Step::Finish(reader) => {
                state.readers[reader] = Reader::Done;
                state.holds[reader] = false;
            }
            Step::AskOff => state.switch = Switch::Waiting { since: state.now },
            Step::Lose(reader) => state.holds[reader] = false,
            Step::LockOff => state.switch = Switch::Locked { at: state.now },
            Step::EndReaders => {
                state.holds = [false; REPLICAS];
                state.was_cut_off = true;
            }
            Step::CommitOff => {
                let Switch::Locked { at } = state.switch else { return None };
                state.is_on = false;
                state.switch = Switch::Committed { locked: at };
            }
            Step::ReturnOff => state.switch = Switch::Returned,
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("off is off", |_, state: &State| !state.was_sent_late),
            Property::sometimes("off returns, all readers done", |_, state: &State| {
                state.switch == Switch::Returned
                    && !state.was_cut_off
                    && state.readers.contains(&Reader::Done)
            }),
            Property::sometimes("off returns, though a reader stands still", |_, state: &State| {
                let stands_still = |reader: &Reader| matches!(reader, Reader::Answering { .. });
                state.switch == Switch::Returned
                    && state.was_cut_off
                    && state.readers.iter().any(stands_still)
            }),
        ]
    }
}

/// Tries every run, and returns which properties were shown: an example of what sometimes happens, or of what never
/// should.
fn shown(protocol: Protocol) -> Vec<&'static str> {
    let checker = protocol.checker().spawn_bfs().join();
    assert!(checker.is_done() && checker.unique_state_count() > 500, "{}", checker.unique_state_count());
    let mut shown: Vec<_> = checker.discoveries().into_keys().collect();
    shown.sort_unstable();
    shown
}

const LEAK: &str = "off is off";
const ALL_DONE: &str = "off returns, all readers done";
const CUT_OFF: &str = "off returns, though a reader stands still";

#[test]
fn nothing_is_sent_after_off_returned_however_long_readers_stand_still() {
    assert_eq!(shown(DEFAULT), [ALL_DONE, CUT_OFF]);
}

#[test]
fn a_reader_that_may_be_of_any_age_sends_after_off() {
    assert!(shown(Protocol { refuses_when_old: false, ..DEFAULT }).contains(&LEAK));
}

#[test]
fn a_switch_that_takes_no_exclusive_lock_returns_before_readers_are_done() {
    assert!(shown(Protocol { is_exclusive: false, ..DEFAULT }).contains(&LEAK));
}

#[test]
fn a_reader_whose_session_is_lost_sends_after_a_switch_that_does_not_wait_until_it_is_too_old() {
    let hasty = Protocol { waits_for_age: false, ..DEFAULT };
    assert!(shown(hasty).contains(&LEAK));
    assert!(!shown(Protocol { loses_sessions: false, ..hasty }).contains(&LEAK));
}

/// The gap that is left: a replica that stands still for a second between two instructions.
#[test]
fn a_reader_that_stands_still_between_looking_and_sending_sends_after_off() {
    assert!(shown(Protocol { sends_at_once: false, ..DEFAULT }).contains(&LEAK));
}

/// What strictness costs: off does not return while a reader stands still, as long as its session is there.
#[test]
fn a_strict_switch_has_no_gap_and_waits_for_ever_if_need_be() {
    let strict = Protocol { is_strict: true, loses_sessions: false, ..DEFAULT };
    let strict = Protocol { sends_at_once: false, refuses_when_old: false, waits_for_age: false, ..strict };
    assert_eq!(shown(strict), [ALL_DONE]);
}
