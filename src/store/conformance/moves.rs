//! A store that was moved to the other engine, and back, says what it said, and goes on as one that was never moved.

use super::Place;
use super::twins::{Turn, first_difference, said, take, turn};
use crate::domain::user::UserNo;
use crate::store::Store;
use crate::store::conformance::tenant;
use crate::store::moving::{
    Counts, Key, MoveError, Piece, Place as Reached, Source, Target, abandon, move_all,
};
use async_trait::async_trait;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;

/// A place whose store can be moved.
#[async_trait(?Send)]
pub trait Movable: Place {
    /// Returns it as one that is moved.
    async fn source(&self) -> Box<dyn Source>;
    /// Returns it as one into which another is moved.
    async fn target(&self) -> Box<dyn Target>;
}

/// Fails after some pieces, with or without having taken the last one.
struct Failing {
    target: Box<dyn Target>,
    left: usize,
    takes_the_last: bool,
}

#[async_trait]
impl Target for Failing {
    async fn begin(&mut self, key: Key) -> Result<Option<Reached>, MoveError> {
        self.target.begin(key).await
    }

    async fn put(&mut self, piece: Piece, place: &Reached) -> Result<(), MoveError> {
        if self.left > 0 {
            self.left -= 1;
            return self.target.put(piece, place).await;
        }
        if self.takes_the_last {
            self.target.put(piece, place).await?;
        }
        Err(MoveError::Store("power cut".to_owned()))
    }

    async fn counts(&mut self) -> Result<Counts, MoveError> {
        self.target.counts().await
    }

    async fn finish(&mut self) -> Result<(), MoveError> {
        self.target.finish().await
    }

    async fn spoil(&mut self, key: Key) -> Result<(), MoveError> {
        self.target.spoil(key).await
    }
}

/// Moves a store, cut off again and again.
async fn moved(from: &impl Movable, to: &impl Movable) {
    for attempt in 0.. {
        let target =
            Failing { target: to.target().await, left: 1 + attempt / 2, takes_the_last: attempt % 2 == 1 };
        let (mut source, mut target) = (from.source().await, target);
        match move_all(&mut *source, &mut target, &mut |_, _| {}).await {
            Ok(_) => break,
            // The sessions of the store that was just closed are still going.
            Err(MoveError::Served(_)) => tokio::task::yield_now().await,
            Err(MoveError::Store(cause)) if cause == "power cut" => {}
            Err(error) => panic!("{error}"),
        }
    }
    let again = move_all(&mut *from.source().await, &mut *to.target().await, &mut |_, _| {}).await;
    let is_done = match &again {
        Err(MoveError::Done) => true,
        // Nobody can tell.
        Ok(counts) => *counts == Counts::default(),
        Err(_) => false,
    };
    assert!(is_done, "{again:?}");
}

/// Tells random stories, and moves the store in between.
pub fn a_store_that_was_moved_goes_on_as_if_it_was_not<A: Movable, B: Movable>() {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let parts = [vec(turn(), 1..30), vec(turn(), 0..10), vec(turn(), 0..10)];
    let ran = TestRunner::new(config).run(&parts, |[before, between, after]| {
        runtime.block_on(async {
            let (here, there, back, twin) = (A::new(), B::new(), A::new(), A::new());
            let twin = twin.open();
            tell(&here.open(), &twin, before).await?;
            let names = names(&here.open()).await;
            moved(&here, &there).await;
            compare(&there.open(), &twin).await?;
            prop_assert_eq!(&self::names(&there.open()).await, &names);
            tell(&there.open(), &twin, between).await?;
            let names = self::names(&there.open()).await;
            moved(&there, &back).await;
            prop_assert_eq!(&self::names(&back.open()).await, &names);
            tell(&back.open(), &twin, after).await?;
            // What was kept in the folder is what was shown.
            compare(&back.open(), &twin).await
        })
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

async fn tell(one: &Arc<dyn Store>, twin: &Arc<dyn Store>, story: Vec<Turn>) -> Result<(), TestCaseError> {
    for turn in story {
        prop_assert_eq!(take(one, turn.clone()).await, take(twin, turn.clone()).await, "{:?}", turn);
    }
    compare(one, twin).await
}

async fn compare(one: &Arc<dyn Store>, twin: &Arc<dyn Store>) -> Result<(), TestCaseError> {
    let (one, twin) = (said(one).await, said(twin).await);
    prop_assert!(one == twin, "{}", first_difference(&one, &twin));
    Ok(())
}

/// Returns who each number is, with the pseudonym, also of those that went into others.
async fn names(store: &Arc<dyn Store>) -> Vec<Option<crate::store::Named>> {
    let numbers: Vec<UserNo> = (0..40).map(UserNo).collect();
    let mut all = store.named(tenant(0), &numbers).await.unwrap();
    all.extend(store.named(tenant(1), &numbers).await.unwrap());
    all
}

/// A source that was given back is served again, and what the target got is of no use to anybody.
pub async fn a_move_that_is_given_up_leaves_the_source_as_it_was<A: Movable, B: Movable>() {
    let (here, there) = (A::new(), B::new());
    super::commit(&here.open(), tenant(0), vec![super::did(super::person("ann"), super::copied("1", 1))])
        .await;
    let before = said(&here.open()).await;
    moved(&here, &there).await;
    abandon(&mut *here.source().await, &mut *there.target().await).await.unwrap();
    let after = said(&here.open()).await;
    assert!(before == after, "{}", first_difference(&before, &after));
    let again = move_all(&mut *here.source().await, &mut *there.target().await, &mut |_, _| {}).await;
    assert!(matches!(again, Err(MoveError::Another)), "{again:?}");
}
