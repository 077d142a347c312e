//! Threads that serve connections. Each has a runtime of its own, so what answers a request runs where its connection is
//! driven: answers that are ready together leave in one write. On one runtime for all threads an answer wakes its
//! connection by itself, and a small call costs about twice the CPU (`docs/performance.md`).

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// The threads. They end when this is dropped, and what they still do ends with them.
pub struct Workers(Vec<Worker>);

struct Worker {
    handle: Handle,
    /// Held once for each connection.
    taken: Arc<()>,
    #[expect(dead_code, reason = "kept for its drop, which ends the thread")]
    stop: Option<oneshot::Sender<()>>,
}

impl Workers {
    /// Starts one for each core that the process may use.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        (0..count).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// Returns those of a server that is asked too little for threads of its own: the runtime that it is started on.
    #[must_use]
    pub fn none() -> Self {
        Self(vec![Worker { handle: Handle::current(), taken: Arc::default(), stop: None }])
    }

    /// Has a connection served by the thread that serves fewest.
    pub(super) fn spawn(
        &self,
        tasks: &mut JoinSet<()>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some(worker) = self.0.iter().min_by_key(|worker| Arc::strong_count(&worker.taken)) else {
            return;
        };
        let taken = Arc::clone(&worker.taken);
        let connection = async move {
            connection.await;
            drop(taken);
        };
        tasks.spawn_on(connection, &worker.handle);
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        // It is only ever dropped.
        let run = move || drop(runtime.block_on(stopped));
        thread::Builder::new().name(format!("serves-{number}")).spawn(run)?;
        Ok(Self { handle, taken: Arc::default(), stop: Some(stop) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::thread::ThreadId;

    #[tokio::test]
    async fn connections_are_spread_evenly_and_each_stays_on_its_thread() {
        let workers = Workers((0..2).map(Worker::start).collect::<io::Result<_>>().unwrap());
        let (mut tasks, seen) = (JoinSet::new(), Arc::new(Mutex::new(Vec::<ThreadId>::new())));
        let together = Arc::new(tokio::sync::Barrier::new(4));
        for _ in 0..4 {
            let (seen, together) = (Arc::clone(&seen), Arc::clone(&together));
            workers.spawn(&mut tasks, async move {
                let thread = thread::current().id();
                together.wait().await;
                assert_eq!(thread::current().id(), thread);
                seen.lock().unwrap().push(thread);
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let seen = seen.lock().unwrap();
        let first = seen.iter().filter(|thread| **thread == seen[0]).count();
        assert_eq!((first, seen.len()), (2, 4));
        assert!(workers.0.iter().all(|worker| Arc::strong_count(&worker.taken) == 1), "all are free again");
    }
}
