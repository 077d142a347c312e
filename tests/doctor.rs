//! `riskshare doctor`, as a person calls it: what is sound, and what is wrong, one thing after the other.

mod child;
#[cfg(has_postgres)]
mod postgres;

use child::{Server, program};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// What a call came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
}

fn said(output: Output) -> Said {
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!out.contains('\u{1b}'), "colours without a terminal: {out}");
    Said { code: output.status.code(), out }
}

/// A doctor of a set-up with its data in a folder and its port free, unless the arguments say otherwise.
fn doctor(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("doctor").arg("--data-dir").arg(folder.join("data"));
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments);
    command
}

fn look(folder: &Path, arguments: &[&str]) -> Said {
    said(doctor(folder, arguments).output().unwrap())
}

impl Said {
    /// Says whether there is a line of this kind about this, with this in it.
    fn has(&self, verdict: &str, about: &str, part: &str) -> bool {
        let begins =
            |line: &str| line.starts_with(verdict) && line[verdict.len()..].trim_start().starts_with(about);
        self.out.lines().any(|line| begins(line) && line.contains(part))
    }
}

fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_sound_set_up_is_ok_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let said = look(folder.path(), &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for (about, part) in [
        ("settings", "2 of "),
        ("data folder", "is not there; serve makes it"),
        ("ports", "listen: 127.0.0.1:0 is free"),
        ("callers", "come from this machine alone"),
    ] {
        assert!(said.has("ok", about, part), "{about}: {said:?}");
    }
    assert!(said.out.contains("\n0 failures, "), "{said:?}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn a_server_that_runs_has_the_folder_and_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let listen = server.address().trim_start_matches("http://").to_owned();
    let busy = look(folder.path(), &["--listen", &listen]);
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.has("failure", "data folder", "is in use by another process"), "{busy:?}");
    assert!(busy.has("failure", "ports", &format!("listen: {listen} is taken")), "{busy:?}");
    assert!(busy.out.contains("\n2 failures, "), "{busy:?}");
    assert!(busy.out.lines().any(|line| line.trim_start().starts_with("-> stop that server")), "{busy:?}");
    server.kill();
    let free = look(folder.path(), &["--listen", &listen]);
    assert_eq!(free.code, Some(0), "{free:?}");
    assert!(free.has("ok", "data folder", "has a store, which nobody has open"), "{free:?}");
}

#[test]
fn a_folder_of_something_else_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    assert!(look(folder.path(), &[]).has("ok", "data folder", "is empty"));
    std::fs::write(folder.path().join("data/thesis.doc"), "").unwrap();
    let said = look(folder.path(), &[]);
    assert!(said.code == Some(1) && said.has("failure", "data folder", "is not empty"), "{said:?}");
}

#[test]
fn settings_that_do_not_hold_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let said = look(folder.path(), &["--drain-seconds", "601"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.has("failure", "settings", "drain_seconds must be 0 to 600"), "{said:?}");
}

/// Returns a certificate that names itself, valid between two years, with its key.
fn certificate(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificates_are_looked_at_and_so_is_who_can_read_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let look = |from, until, mode: &str| {
        let (certificate, key) = certificate(from, until);
        let (certificate, key) = (file(&folder, "c.pem", &certificate), file(&folder, "k.pem", &key));
        assert!(Command::new("chmod").args([mode, &key]).status().unwrap().success());
        look(folder.path(), &["--tls-certificate", &certificate, "--tls-private-key", &key])
    };
    let good = look(2020, 4000, "600");
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.has("ok", "certificate", "valid until 4000-01-01"), "{good:?}");
    assert!(good.has("ok", "secrets", "tls.private_key"), "{good:?}");
    let old = look(2010, 2020, "644");
    assert_eq!(old.code, Some(1), "{old:?}");
    assert!(old.has("failure", "certificate", "has expired on 2020-01-01"), "{old:?}");
    assert!(old.has("warning", "secrets", "every account of this machine"), "{old:?}");
    let (broken, key) = (file(&folder, "c.pem", ""), file(&folder, "k.pem", ""));
    let broken = crate::look(folder.path(), &["--tls-certificate", &broken, "--tls-private-key", &key]);
    assert!(broken.code == Some(1) && broken.has("failure", "files", "cannot speak TLS"), "{broken:?}");
}

/// The file of principals may say who people are, and what is wrong with it is quoted elsewhere.
#[test]
fn nobody_is_named_and_no_password_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(2020, 4000);
    let (certificate, key) = (file(&folder, "c.pem", &certificate), file(&folder, "k.pem", &key));
    let roll = file(&folder, "principals.toml", "[[principal]]\nnme = 'Ada Lindqvist'\n");
    let ca = certificate.clone();
    let tls = ["--tls-certificate", &certificate, "--tls-private-key", &key, "--tls-client-ca", &ca];
    let mtls = ["--tls-client-auth", "required", "--auth-mode", "mtls", "--auth-principals-file", &roll];
    let output = doctor(folder.path(), &[&tls[..], &mtls].concat())
        .env("RISKSHARE_POSTGRES__URL", "postgres://riskshare:hunter2@127.0.0.1:1/riskshare")
        .output();
    let said = said(output.unwrap());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.has("failure", "files", "principals.toml: does not hold"), "{said:?}");
    assert!(said.has("failure", "database", "cannot be reached"), "{said:?}");
    assert!(!said.out.contains("hunter2") && !said.out.contains("Ada"), "{said:?}");
}

#[test]
fn a_port_that_strangers_reach_is_a_warning_and_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let said = look(folder.path(), &["--listen", "0.0.0.0:0", "--allow-unauthenticated-network"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.has("warning", "callers", "whoever reaches 0.0.0.0:0 reads and changes everything"),
        "{said:?}"
    );
}

#[test]
fn too_few_file_descriptors_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = doctor(folder.path(), &[]);
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "ulimit -n 512; exec \"$@\"", "sh"])
        .arg(doctor.get_program())
        .args(doctor.get_args());
    let said = said(limited.output().unwrap());
    assert!(said.has("warning", "file descriptors", "512 are allowed, 1256 can be needed"), "{said:?}");
    assert_eq!(said.code, Some(0), "{said:?}");
}

#[cfg(has_postgres)]
#[test]
fn a_database_is_looked_at_before_and_after_it_is_migrated() {
    let folder = tempfile::tempdir().unwrap();
    let database = postgres::Database::like(None);
    let url = ["--postgres-url", &database.url()];
    let empty = look(folder.path(), &url);
    assert_eq!(empty.code, Some(1), "{empty:?}");
    assert!(empty.has("failure", "schema", "has version 0"), "{empty:?}");
    assert!(empty.has("ok", "database", "answers, and takes writes"), "{empty:?}");
    let migrated = program().arg("migrate").args(url).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    let said = look(folder.path(), &url);
    assert!(said.has("ok", "schema", "which this program needs"), "{said:?}");
    assert!(said.has("ok", "clocks", " s "), "{said:?}");
    // What the tests' own server is: alone, and careless.
    assert!(said.has("warning", "commits", "one machine alone"), "{said:?}");
    assert!(said.has("failure", "commits", "fsync"), "{said:?}");
    assert!(!said.out.contains("data folder"), "it is not used: {said:?}");
}
