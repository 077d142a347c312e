//! Threads for what may take its time while others are served.

use std::io;
use std::thread;

/// Starts a thread that gives way to all others of this process.
pub fn start<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        give_way();
        work()
    })
}

/// Linux has a priority for each thread; elsewhere it is the whole process's.
#[cfg(target_os = "linux")]
fn give_way() {
    // Without it, it is only less polite.
    let _ = rustix::process::setpriority_process(None, 19);
}

#[cfg(not(target_os = "linux"))]
fn give_way() {}
