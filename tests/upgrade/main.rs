//! Data on disk outlive the program that wrote them. `kept/` holds folders that older builds wrote; this one must serve
//! each as if it had written it itself, and go on in it. README.md beside this file says how a folder is added.

#[path = "../child/mod.rs"]
mod child;
mod story;

use child::{Server, program_at};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use riskshare::clock::{Clock, ManualClock, SystemClock};
use riskshare::config::Config;
use riskshare::server;
use riskshare::server::Running;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use story::Story;
use tonic::transport::Channel;

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgrade/kept");

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_an_older_program_wrote_is_served_and_gone_on_in() {
    let mut kept: Vec<_> = std::fs::read_dir(KEPT).unwrap().map(|entry| entry.unwrap().path()).collect();
    kept.sort();
    assert!(!kept.is_empty());
    for archive in kept {
        println!("{}", archive.display());
        let folder = tempfile::tempdir().unwrap();
        tar("-xzf", &archive, folder.path(), &[]);
        serves_and_goes_on(folder.path(), told(&archive)).await;
    }
}

/// Without this, a story that is no longer true would look like a folder that cannot be read.
#[tokio::test(flavor = "multi_thread")]
async fn what_this_program_wrote_it_serves_alike() {
    let folder = tempfile::tempdir().unwrap();
    let told = write(child::program(), folder.path()).await;
    serves_and_goes_on(folder.path(), told).await;
}

/// RISKSHARE_TEST_KEEP is the name of the build; RISKSHARE_TEST_PROGRAM its path, where it is not this one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes a folder to keep"]
async fn a_folder_is_written_to_be_kept() {
    let build = std::env::var_os("RISKSHARE_TEST_KEEP").expect("it says what the build is called");
    let program = std::env::var_os("RISKSHARE_TEST_PROGRAM")
        .map_or_else(child::program, |path| program_at(path.as_ref()));
    let folder = tempfile::tempdir().unwrap();
    let told = write(program, folder.path()).await;
    let archive = Path::new(KEPT).join(format!("{}-{}.tar.gz", told.date_naive(), build.display()));
    tar("-czf", &archive, folder.path(), &["data"]);
    serves_and_goes_on(folder.path(), told).await;
}

/// Lets a program write a folder, and returns noon of that day. On one thread alone the channel would stay open while
/// this waits for the program's end, and the program for the channel's.
async fn write(program: Command, folder: &Path) -> DateTime<Utc> {
    let told = noon(SystemClock.now().date_naive());
    let mut server = Server::start_program(program, folder, "127.0.0.1:0", &[], &[], Stdio::null());
    Story::new(server.connect().await, told).tell().await;
    server.stop();
    told
}

/// Serves a folder on the day after it was written, whatever day it is: what was told is not forgotten by then.
async fn serves_and_goes_on(folder: &Path, told: DateTime<Utc>) {
    let (running, story) = serve(folder, told).await;
    story.is_known().await;
    story.goes_on().await;
    running.stop().await;
    let (running, story) = serve(folder, told).await;
    story.went_on().await;
    running.stop().await;
}

async fn serve(folder: &Path, told: DateTime<Utc>) -> (Running, Story) {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen, data_dir: folder.join("data"), drain_seconds: 5, ..Config::default() };
    let clock = ManualClock::at(told + TimeDelta::days(1));
    let running = server::start(config, Arc::new(clock)).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", running.address())).unwrap();
    (running, Story::new(channel.connect().await.unwrap(), told))
}

/// Returns noon of the day with which the name of a kept folder begins.
fn told(archive: &Path) -> DateTime<Utc> {
    let name = archive.file_name().unwrap().to_str().unwrap();
    noon(name[..10].parse().expect("the name begins with the day on which it was written"))
}

fn noon(day: NaiveDate) -> DateTime<Utc> {
    day.and_hms_opt(12, 0, 0).unwrap().and_utc()
}

fn tar(mode: &str, archive: &Path, folder: &Path, names: &[&str]) {
    let mut tar = Command::new("tar");
    tar.arg(mode).arg(archive).arg("-C").arg(folder).args(names);
    assert!(tar.status().unwrap().success());
}
