//! The real program, as a person or a script calls it: what it prints, and its exit codes.

mod child;

use child::Server;
use chrono::TimeDelta;
use riskshare::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";

/// What a call of the program came to.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskshare"));
    command.stdin(Stdio::null());
    command
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let said = Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert!(
        !said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'),
        "colours without a terminal: {said:?}"
    );
    said
}

fn call(arguments: &[&str]) -> Said {
    said(program().args(arguments).output().unwrap())
}

fn lines_with<'t>(text: &'t str, part: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(part)).collect()
}

/// A server of a test's own, a folder for its files, and a tenant.
struct Desk {
    server: Server,
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { server: Server::start(folder.path()), folder }
    }

    /// Returns a desk whose tenant shares and scores everybody.
    fn sharing() -> Self {
        let desk = Self::new();
        let set = desk.call(&["settings", "set", "--data-sharing", "on", "--user-analytics", "on"]);
        assert_eq!(set.code, Some(0), "{set:?}");
        desk
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command.args(arguments).args(["--server", self.server.address(), "--tenant", TENANT]);
        command
    }

    fn call(&self, arguments: &[&str]) -> Said {
        said(self.command(arguments).output().unwrap())
    }

    fn call_with_stdin(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        said(child.wait_with_output().unwrap())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A copy to a USB stick, yesterday.
fn copy(id: &str) -> Value {
    let yesterday = (SystemClock.now() - TimeDelta::days(1)).format("%Y-%m-%dT12:00:00").to_string();
    json!({
        "Id": id, "CreationTime": yesterday, "RecordType": 63, "Operation": "FileCopiedToRemovableMedia",
        "UserId": "alex@contoso.com", "UserType": 0, "ObjectId": format!("C:\\{id}.docx"), "TargetFilePath": "E:\\",
    })
}

fn copies(count: usize) -> Vec<Value> {
    (0..count).map(|n| copy(&format!("copy-{n}"))).collect()
}

fn alert() -> Value {
    json!({
        "id": "da-1", "serviceSource": "dataLossPrevention", "createdDateTime": "2026-05-04T12:30:00Z",
        "title": "DLP policy (Plans) matched", "severity": "high",
        "evidence": [{"@odata.type": "#microsoft.graph.security.userEvidence",
            "userAccount": {"userPrincipalName": "ALEX@contoso.com"}}],
    })
}

/// Returns an address on which nobody listens.
fn deserted() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn help_and_version_are_no_failures_and_bad_arguments_are_64() {
    let version = call(&["version"]);
    assert_eq!(version.code, Some(0));
    assert_eq!(version.out, format!("riskshare {}\nAPI riskshare.v1\n", env!("CARGO_PKG_VERSION")));
    for help in
        [&["--help"][..], &["serve", "--help"], &["demo", "--help"], &["ingest", "--help"], &["--version"]]
    {
        assert_eq!(call(help).code, Some(0), "{help:?}");
    }
    for wrong in [
        &[][..],
        &["shine"],
        &["ingest"],
        &["enrich", "a.json"],
        &["settings", "set", "--data-sharing", "up"],
    ] {
        let said = call(wrong);
        assert_eq!((said.code, said.err.is_empty()), (Some(64), false), "{wrong:?}");
    }
}

#[test]
fn the_versions_of_all_that_is_kept_are_one_json_object() {
    let said = call(&["version", "--json"]);
    let versions: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said.code, Some(0));
    let names: Vec<_> = versions.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["commit", "name", "proto_package", "schema_version", "storage_format_version", "version"];
    assert_eq!(names, expected);
    assert_eq!(versions["version"], env!("CARGO_PKG_VERSION"));
    let files = prost_reflect::DescriptorPool::decode(riskshare::pb::DESCRIPTORS).unwrap();
    let package = versions["proto_package"].as_str().unwrap();
    assert!(files.services().any(|service| service.parent_file().package_name() == package), "{package}");
    let is_commit = |text: &str| text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(versions["commit"].as_str().is_none_or(is_commit), "{versions}");
}

/// Asks the shell what it would complete, as it does when Tab is pressed.
#[test]
fn a_shell_completes_commands_and_flags_by_the_script() {
    let script = call(&["completions", "bash"]);
    assert_eq!((script.code, &*script.err), (Some(0), ""));
    let completed = |typed: &str| {
        let ask = format!(
            "{}\nCOMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _riskshare riskshare \"${{COMP_WORDS[$COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.out
        );
        said(Command::new("bash").args(["-c", &ask]).output().unwrap()).out
    };
    assert_eq!(completed("riskshare heal"), "healthcheck\n");
    assert_eq!(completed("riskshare serve --drain-p"), "--drain-pause-seconds\n");
    for shell in ["elvish", "fish", "powershell", "zsh"] {
        let script = call(&["completions", shell]);
        assert!(script.code == Some(0) && script.out.contains("drain-pause-seconds"), "{shell}");
    }
    assert_eq!(call(&["completions", "dos"]).code, Some(64));
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("share/man1");
    let said = call(&["man", "--directory", written.to_str().unwrap()]);
    assert_eq!((said.code, &*said.out, &*said.err), (Some(0), "", ""));
    for (page, part) in [
        ("riskshare.1", "DLP alert queues"),
        ("riskshare-serve.1", "drain"),
        ("riskshare-settings-set.1", "lookback"),
        ("riskshare-healthcheck.1", "SERVING"),
    ] {
        let text = std::fs::read_to_string(written.join(page)).unwrap();
        assert!(text.contains(".TH ") && text.contains(part), "{page}: {text}");
    }
    let first = call(&["man"]);
    assert!(first.out.contains(".SH SUBCOMMANDS"), "{first:?}");
}

#[test]
fn records_of_files_and_of_stdin_are_counted_by_what_became_of_them() {
    let desk = Desk::new();
    let ignored = json!({"Id": "i-1", "CreationTime": "2026-05-04T12:30:00", "RecordType": 63, "UserId": "a@b.c",
        "UserType": 0, "Operation": "FileModified"});
    let mut old = copy("old-1");
    old["CreationTime"] = json!("2020-01-01T00:00:00");
    let array = desk.file("array.json", &json!([copy("a"), copy("b"), ignored, old]).to_string());
    let lines = desk.file("lines.jsonl", &format!("{}\n{}\n", copy("b"), copy("c")));
    let said = desk.call(&["ingest", &array, &lines]);
    assert_eq!((said.code, &*said.err), (Some(0), ""), "{said:?}");
    let counts: Vec<_> = said.out.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect();
    assert_eq!(counts, ["accepted", "duplicate", "outside window", "ignored", "conflict", "rejected"]);
    let numbers: Vec<_> = said.out.lines().map(|line| line[15..25].trim().to_owned()).collect();
    assert_eq!(numbers, ["3", "1", "1", "1", "0", "0"]);
    let again = desk.call_with_stdin(&["ingest", "-"], &json!([copy("a"), copy("d")]).to_string());
    assert_eq!(again.code, Some(0), "{again:?}");
    let numbers: Vec<_> = again.out.lines().map(|line| line[15..25].trim().to_owned()).collect();
    assert_eq!(numbers, ["1", "1", "0", "0", "0", "0"]);
}

#[test]
fn a_file_of_more_than_a_batch_is_taken_whole() {
    let desk = Desk::new();
    let file = desk.file("many.json", &Value::from(copies(2_345)).to_string());
    let said = desk.call(&["ingest", &file]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.lines().next(), Some("accepted             2345"));
}

#[test]
fn a_rejected_record_is_named_by_file_index_and_field_and_the_rest_is_taken() {
    let desk = Desk::new();
    let mut timeless = copy("x");
    timeless["CreationTime"] = Value::Null;
    let mut other = copy("a");
    other["ObjectId"] = json!("C:\\other.docx");
    let text = format!("{}\n{timeless}\n{{broken\n{other}\n{}\n", copy("a"), copy("b"));
    let file = desk.file("mixed.jsonl", &text);
    let absent = desk.folder.path().join("absent.json").to_str().unwrap().to_owned();
    let said = desk.call(&["ingest", &absent, &file]);
    assert_eq!(said.code, Some(1));
    assert_eq!(lines_with(&said.out, "accepted"), ["accepted                2"]);
    assert_eq!(
        lines_with(&said.out, "conflict "),
        ["conflict                1  contradicts what is known, not kept"]
    );
    assert_eq!(lines_with(&said.out, "rejected "), ["rejected                2  cannot be read, not kept"]);
    assert!(said.out.contains("1 of 2 files could not be read"), "{said:?}");
    assert!(lines_with(&said.err, "absent.json: cannot be read").len() == 1, "{said:?}");
    let of_record = |index: usize| lines_with(&said.err, &format!("mixed.jsonl[{index}]: ")).join("");
    assert!(of_record(1).ends_with("[1]: raw_record.CreationTime: is missing"), "{said:?}");
    assert!(of_record(2).contains("not JSON"), "{said:?}");
    assert!(of_record(3).contains("conflict: activity_id: "), "{said:?}");
    assert_eq!(said.err.lines().count(), 4, "{said:?}");
    assert!(!said.err.contains("alex"), "{said:?}");
}

#[test]
fn a_server_that_cannot_be_reached_is_exit_code_2() {
    let server = deserted();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    std::fs::write(&file, alert().to_string()).unwrap();
    let file = file.to_str().unwrap();
    let at = ["--server", &*server, "--tenant", TENANT];
    for command in [&["ingest", "--retries", "1", file][..], &["enrich", file], &["settings", "get"]] {
        let said = call(&[command, &at].concat());
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.starts_with(&format!("riskshare: cannot reach {server}: ")), "{said:?}");
    }
    let said = call(&["settings", "get", "--tenant", TENANT, "--server", "ftp://x"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("--server ftp://x: must be of the form http://"), "{said:?}");
}

#[test]
fn a_healthcheck_is_0_when_the_server_serves_and_1_for_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, line) = started(serve(folder.path(), &["--health-listen", "127.0.0.1:0"]));
    let server = line.split_whitespace().last().unwrap().to_owned();
    let line = line_of(child.stdout.as_mut().unwrap());
    let own = line.trim().strip_prefix("health is on http://").expect(&line).to_owned();
    let ask = |at: &[&str], service: &[&str]| call(&[&["healthcheck"], at, service].concat());
    for at in [["--server", &server], ["--address", &own]] {
        for service in [&[][..], &["--service", "live"], &["--service", "riskshare.v1.IngestService"]] {
            let said = ask(&at, service);
            assert_eq!((said.code, &*said.out, &*said.err), (Some(0), "SERVING\n", ""), "{at:?} {service:?}");
        }
        let unknown = ask(&at, &["--service", "nobody"]);
        assert_eq!((unknown.code, &*unknown.out), (Some(1), ""), "{unknown:?}");
        assert!(unknown.err.ends_with(" knows no service of the name nobody\n"), "{unknown:?}");
    }
    send_signal(&child, "-KILL");
    child.wait().unwrap();
    let gone = ask(&["--server", &server], &[]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.err.starts_with(&format!("riskshare: cannot reach {server}: ")), "{gone:?}");
    let both = ask(&["--server", &server, "--address", &own], &[]);
    assert_eq!(both.code, Some(64), "{both:?}");
}

#[test]
fn a_healthcheck_of_a_server_that_is_told_to_stop_is_1_and_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, line) = started(serve(folder.path(), &["--drain-pause-seconds", "60"]));
    let server = line.split_whitespace().last().unwrap().to_owned();
    let ask = |service: &str| call(&["healthcheck", "--server", &server, "--service", service]);
    assert_eq!(ask("").code, Some(0));
    send_signal(&child, "-TERM");
    let told = loop {
        let said = ask("");
        if said.code != Some(0) {
            break said;
        }
    };
    assert_eq!((told.code, &*told.out), (Some(1), ""));
    assert_eq!(told.err, format!("riskshare: {server}: the whole of it is NOT_SERVING\n"));
    assert_eq!(ask("live").code, Some(0));
    send_signal(&child, "-TERM"); // The second one: there is no time.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A port that takes connections in and says nothing.
#[test]
fn a_healthcheck_waits_for_no_answer_longer_than_its_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let said = call(&["healthcheck", "--address", &address]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.err, format!("riskshare: http://{address} does not answer within 3s\n"));
}

#[test]
fn ingest_tries_again_until_the_server_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    std::fs::write(&file, json!([copy("a")]).to_string()).unwrap();
    let mut command = program();
    command.args(["ingest", "--retries", "20", "--tenant", TENANT, "--server", &format!("http://{address}")]);
    let client = command.arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(listener.accept().unwrap()); // The first attempt has come, and fails.
    drop(listener);
    let _server = Server::start_at(folder.path(), &address);
    let said = said(client.wait_with_output().unwrap());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.lines().next(), Some("accepted                1"));
}

#[test]
fn an_alert_is_printed_with_its_actors_or_as_json() {
    let desk = Desk::sharing();
    let audit = desk.file("audit.json", &Value::from(copies(12)).to_string());
    assert_eq!(desk.call(&["ingest", &audit]).code, Some(0));
    let file = desk.file("alert.json", &alert().to_string());
    let said = desk.call(&["enrich", "--activities", "2", &file]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for part in [
        "DLP alert da-1\n",
        "  Title     DLP policy (Plans) matched\n",
        "  Insider risk severity: High\n",
        "  1. High    score 73   alex@contoso.com\n",
        "     Why        12 activities of CopyToUSB on ",
        "     Activity   12 exfiltration activities in the 120 days to ",
        "  by day, at most 12\n",
        "                and 10 older\n",
    ] {
        assert!(said.out.contains(part), "{part:?} is not in {}", said.out);
    }
    let said = desk.call_with_stdin(&["enrich", "--json", "-"], &alert().to_string());
    let answer: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(answer["alert"]["severity"], "SEVERITY_HIGH");
    assert_eq!(answer["alert"]["actors"][0]["activities"].as_array().unwrap().len(), 8);
}

#[test]
fn of_a_tenant_that_does_not_share_only_the_column_is_printed() {
    let desk = Desk::sharing();
    let audit = desk.file("audit.json", &Value::from(copies(12)).to_string());
    assert_eq!(desk.call(&["ingest", &audit]).code, Some(0));
    let file = desk.file("alert.json", &alert().to_string());
    assert!(desk.call(&["enrich", &file]).out.contains("alex"));
    assert_eq!(desk.call(&["settings", "set", "--data-sharing", "off"]).code, Some(0));
    let said = desk.call(&["enrich", &file]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.ends_with("  Insider risk severity: User data is not available\n"), "{said:?}");
    assert!(!said.out.contains("alex"), "{said:?}");
    let answer: Value = serde_json::from_str(&desk.call(&["enrich", "--json", &file]).out).unwrap();
    let column = json!({"alertId": "da-1", "severity": "SEVERITY_USER_DATA_NOT_AVAILABLE",
        "severityText": "User data is not available"});
    assert_eq!(answer, json!({"alert": column}));
}

#[test]
fn a_refusal_is_printed_as_code_reason_and_fields() {
    let desk = Desk::new();
    let unknown = desk.call_with_stdin(&["enrich", "-"], r#"{"a":1}"#);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.starts_with("riskshare: INVALID_ARGUMENT: alert.raw_json: "), "{unknown:?}");
    assert_eq!(unknown.err.lines().nth(1), Some("  reason  UNKNOWN_FORMAT"));
    assert!(unknown.err.lines().nth(2).unwrap().starts_with("  field   alert.raw_json: "), "{unknown:?}");
    let two = desk.call_with_stdin(&["enrich", "-"], &format!("{}\n{}\n", alert(), alert()));
    assert_eq!((two.code, &*two.err), (Some(1), "riskshare: stdin: holds 2 records; one is enriched\n"));
    let tenant = call(&["settings", "get", "--server", desk.server.address(), "--tenant", "contoso"]);
    assert_eq!(tenant.code, Some(1));
    assert_eq!(lines_with(&tenant.err, "field").join(""), "  field   tenant_id: must be a UUID");
}

#[test]
fn settings_are_shown_and_changed_one_by_one() {
    let desk = Desk::new();
    let row = |text: &str, label: &str| {
        let line = text.lines().find(|line| line.starts_with(label)).unwrap();
        line[label.len()..].trim().to_owned()
    };
    let first = desk.call(&["settings", "get"]).out;
    assert_eq!((row(&first, "data sharing"), row(&first, "anonymization")), ("off".into(), "on".into()));
    let flags = ["--data-sharing", "on", "--lookback", "90", "--share", "SpoDownload", "--hide", "Print"];
    let set = desk.call(&[&["settings", "set"], &flags[..], &["--declare", "Drone"]].concat());
    assert_eq!(set.code, Some(0), "{set:?}");
    assert_eq!(set.out, desk.call(&["settings", "get"]).out);
    let shown = [
        "data sharing",
        "user analytics",
        "anonymization",
        "lookback",
        "shared besides",
        "hidden",
        "declared",
    ]
    .map(|label| row(&set.out, label));
    assert_eq!(shown, ["on", "off", "on", "90 days", "SpoDownload", "Print", "Drone"]);
    let stale = row(&first, "etag");
    let refused = desk.call(&["settings", "set", "--etag", &stale, "--data-sharing", "off"]);
    assert_eq!((refused.code, refused.err.contains("reason  ETAG_MISMATCH")), (Some(1), true), "{refused:?}");
    let current = row(&set.out, "etag");
    let back = ["--etag", &current, "--reset", "Print", "--undeclare", "Drone", "--json"];
    let json = desk.call(&[&["settings", "set"], &back[..]].concat());
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let left = json!([{"indicator": "SpoDownload", "shared": true}]);
    assert_eq!((&json["settings"]["indicatorOverrides"], &json["drained"]), (&left, &json!(true)));
    assert_eq!(json["settings"].get("customExfiltrationIndicators"), None);
    let json: Value = serde_json::from_str(&desk.call(&["settings", "get", "--json"]).out).unwrap();
    assert_eq!(json["settings"]["lookbackDays"], 90);
}

#[test]
fn the_audit_log_is_listed_and_checked_by_the_server_and_in_the_folder_of_a_stopped_one() {
    let mut desk = Desk::sharing();
    desk.call(&["settings", "set", "--data-sharing", "off"]);
    let listed = desk.call(&["audit", "list", "--outcome", "changed"]);
    let rows: Vec<_> = listed.out.lines().map(|row| row.split_once("set ").unwrap().1).collect();
    assert_eq!(
        rows,
        ["data_sharing_enabled=true,user_analytics_enabled=true", "data_sharing_enabled=false"],
        "{listed:?}"
    );
    let json: Value =
        serde_json::from_str(&desk.call(&["audit", "list", "--json", "--limit", "1"]).out).unwrap();
    assert_eq!(
        (&json["events"][0]["action"], &json["events"].as_array().unwrap().len()),
        (&json!("UpdateSettings"), &1)
    );
    let checked = desk.call(&["audit", "verify"]);
    assert_eq!((checked.code, checked.out.contains(", valid")), (Some(0), true), "{checked:?}");
    let head = checked.out.lines().find_map(|line| line.strip_prefix("head ")).unwrap().trim().to_owned();
    let kept = desk.call(&["audit", "verify", "--expect", &head]);
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let zeros = "0".repeat(64);
    let other = desk.call(&["audit", "verify", "--expect", &format!("1:{zeros}")]);
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.out.contains("line 1: line 1 is not the one that was expected"), "{other:?}");

    let data = desk.folder.path().join("data");
    let folder = ["audit", "verify", "--data-dir", data.to_str().unwrap()];
    let busy = call(&folder);
    assert_eq!((busy.code, busy.err.contains("in use by another process")), (Some(1), true), "{busy:?}");
    desk.server.kill();
    let whole = call(&folder);
    assert_eq!((whole.code, whole.out.contains(TENANT)), (Some(0), true), "{whole:?}");
    let file = std::fs::read_dir(data.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "jsonl")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("local", "other", 1)).unwrap();
    let broken = call(&folder);
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(broken.out.contains(".jsonl line 1: line 1 was changed"), "{broken:?}");
    let nothing = call(&["audit", "verify", "--data-dir", desk.folder.path().to_str().unwrap()]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
}

#[test]
fn a_change_that_cannot_be_is_refused() {
    let desk = Desk::new();
    let nothing = desk.call(&["settings", "set"]);
    assert_eq!((nothing.code, nothing.err.contains("nothing to change")), (Some(1), true), "{nothing:?}");
    let short = desk.call(&["settings", "set", "--lookback", "89"]);
    assert_eq!(short.code, Some(1));
    let fields = lines_with(&short.err, "field ").join("");
    assert_eq!(fields, "  field   settings.lookback_days: must be 90 to 120");
    let hidden = desk.call(&["settings", "set", "--share", "EpoBrowseToGamblingSites"]);
    assert!(hidden.err.contains("settings.indicator_overrides[0].indicator"), "{hidden:?}");
}

fn serve(folder: &Path, more: &[&str]) -> Command {
    let mut command = program();
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(folder.join("data")).args(more);
    command
}

/// Starts it and waits until it says where it listens.
fn started(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let line = line_of(child.stdout.as_mut().unwrap());
    (child, line)
}

/// Reads one line and nothing behind it: there may be another one already.
fn line_of(out: &mut impl Read) -> String {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\n") && out.read(&mut byte).unwrap() == 1 {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn send_signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_server_stops_when_told_to_and_logs_json_where_nobody_looks() {
    for signal in ["-TERM", "-INT"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, line) = started(serve(folder.path(), &[]));
        assert!(line.starts_with("riskshare serves on http://127.0.0.1:"), "{line}");
        send_signal(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        let mut log = String::new();
        child.stderr.unwrap().read_to_string(&mut log).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let messages: Vec<_> = lines.iter().map(|line| &line["fields"]["message"]).collect();
        assert_eq!(messages, ["serving", "stopping"], "{log}");
    }
}

/// Reads the log up to the line with a message.
fn log_until(log: &mut impl BufRead, message: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let is_last = line["fields"]["message"] == message;
        lines.push(line);
        if is_last {
            return lines;
        }
    }
    panic!("{message} is not in {lines:?}")
}

#[test]
fn told_so_a_server_takes_a_changed_log_filter_and_says_what_waits_for_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("riskshare.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[log]\nfilter = 'warn'\n");
    let (mut child, _) = started(serve(folder.path(), &["--config", file.to_str().unwrap()]));
    let mut log = BufReader::new(child.stderr.take().unwrap());
    write("drain_seconds = 601\n[log]\nfilter = 'riskshare=info'\n");
    send_signal(&child, "-HUP");
    let refused = log_until(&mut log, "the settings do not hold; the last good ones stay");
    assert_eq!(refused.len(), 1, "what was below the filter is not logged: {refused:?}");
    assert!(refused[0]["fields"]["cause"].as_str().unwrap().contains("drain_seconds"), "{refused:?}");
    write("drain_seconds = 5\n[log]\nfilter = 'riskshare=info'\n");
    send_signal(&child, "-HUP");
    let taken = log_until(&mut log, "these settings have changed and wait for a restart");
    let messages: Vec<_> = taken.iter().map(|line| line["fields"]["message"].as_str().unwrap()).collect();
    assert_eq!(messages[0], "read the settings again", "the filter lets it through");
    assert_eq!(taken[1]["fields"]["keys"], "drain_seconds", "{taken:?}");
    send_signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    log_until(&mut log, "stopping");
}

#[test]
fn the_log_is_text_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (child, _) = started(serve(folder.path(), &["--log-format", "text"]));
    send_signal(&child, "-TERM");
    let said = said(child.wait_with_output().unwrap());
    assert!(said.err.contains("INFO riskshare::"), "{said:?}");
}

#[test]
fn a_server_that_strangers_could_reach_does_not_start_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let exposed = call(&["serve", "--listen", "0.0.0.0:0", "--data-dir", &data]);
    assert_eq!(exposed.code, Some(1));
    assert!(exposed.err.starts_with("riskshare: listen must be a loopback address"), "{exposed:?}");
    assert!(!Path::new(&data).exists());
    let mut command = program();
    command.args(["serve", "--allow-unauthenticated-network", "--listen", "0.0.0.0:0", "--data-dir", &data]);
    let (mut child, line) = started(command);
    assert!(line.contains("http://0.0.0.0:"), "{line}");
    send_signal(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_setting_that_does_not_exist_stops_the_server_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    let output = serve(folder.path(), &[]).env("RISKSHARE_LIMITS__MAX_MESAGE_BYTES", "1").output().unwrap();
    let said = said(output);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("unknown key `limits.max_mesage_bytes`"), "{said:?}");
    let wrong = call(&["serve", "--drain-seconds", "soon"]);
    assert_eq!(wrong.err.matches("drain_seconds").count(), 1, "{wrong:?}");
    let file = folder.path().join("riskshare.toml");
    std::fs::write(&file, "drain_seconds = 601\n").unwrap();
    let said = call(&["serve", "--config", file.to_str().unwrap()]);
    assert_eq!((said.code, &*said.err), (Some(1), "riskshare: drain_seconds must be 0 to 600\n"));
}

/// Returns the lines of a listing of settings: key, value, origin.
fn settings_in(listing: &str) -> Vec<(String, String, String)> {
    let cut = |line: &str| {
        let (setting, origin) = line.split_once("  # ").expect(line);
        let (key, value) = setting.split_once(" = ").expect(line);
        (key.to_owned(), value.trim_end().to_owned(), origin.to_owned())
    };
    listing.lines().map(cut).collect()
}

#[test]
fn settings_are_listed_with_where_they_come_from_and_without_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("riskshare.toml");
    std::fs::write(&file, "drain_seconds = 7\n[limits]\nquery_seconds = 3\ningest_seconds = 4\n").unwrap();
    let file = file.to_str().unwrap();
    let output = program()
        .args(["check-config", "--config", file, "--drain-seconds", "9"])
        .env("RISKSHARE_LIMITS__QUERY_SECONDS", "5")
        .env("RISKSHARE_POSTGRES__URL", "postgres://riskshare:secret@db/riskshare")
        .output();
    let said = said(output.unwrap());
    assert_eq!((said.code, &*said.err), (Some(0), ""), "{said:?}");
    let listed = settings_in(&said.out);
    let of = |key: &str| {
        let (_, value, origin) = listed.iter().find(|(name, ..)| name == key).expect(key);
        (value.as_str(), origin.as_str())
    };
    assert_eq!(of("drain_seconds"), ("9", "flag"));
    assert_eq!(of("limits.query_seconds"), ("5", "RISKSHARE_LIMITS__QUERY_SECONDS"));
    assert_eq!(of("limits.ingest_seconds"), ("4", file));
    assert_eq!(of("listen"), ("\"127.0.0.1:50051\"", "default"));
    assert_eq!(of("postgres.url"), ("(hidden)", "RISKSHARE_POSTGRES__URL"));
    assert!(!said.out.contains("secret"), "{said:?}");
    assert_eq!(listed.len(), riskshare::config::keys().len());
    let reference = call(&["check-config", "--reference"]);
    assert_eq!(reference.code, Some(0), "{reference:?}");
    assert!(include_str!("../docs/configuration.md").contains(&reference.out), "{reference:?}");
}

#[test]
fn settings_that_serve_would_refuse_are_refused_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let (empty, roll) = (file("empty.pem", ""), file("principals.toml", "[[principal]]\nnme = 'x'\n"));
    let url = file("url", "postgres://127.0.0.1/riskshare");
    let tls = ["--tls-certificate", &empty, "--tls-private-key", &empty];
    let clients = ["--tls-client-ca", &empty, "--tls-client-auth", "required"];
    let mtls = ["--auth-mode", "mtls", "--auth-principals-file", &roll];
    let collector = ["--export-syslog-url", "tls://localhost:1", "--export-syslog-ca", &empty];
    for wrong in [
        &["--drain-seconds", "601"][..],
        &["--drain-seconds", "soon"],
        &["--listen", "0.0.0.0:0"],
        &["--config", "absent.toml"],
        &tls,
        &collector,
        &["--postgres-url-file", "absent"],
        &["--postgres-url-file", &url, "--postgres-ca", "absent.pem"],
        &["--postgres-url-file", &url, "--postgres-ca", &empty],
    ] {
        let checked = call(&[&["check-config"], wrong].concat());
        let served = call(&[&["serve", "--log-filter", "off", "--data-dir", &data], wrong].concat());
        assert_eq!((checked.code, served.code), (Some(1), Some(1)), "{wrong:?}: {checked:?}");
        assert_eq!(checked.err, served.err, "{wrong:?}");
    }
    let all = call(&[&["check-config"], &tls[..], &clients, &mtls, &collector].concat());
    assert_eq!(all.code, Some(1), "{all:?}");
    for part in ["cannot speak TLS: ", "auth.principals_file ", "export.syslog.ca: "] {
        assert_eq!(lines_with(&all.err, part).len(), 1, "each of them is named: {all:?}");
    }
}

fn demo(folder: &Path) -> Command {
    let mut command = program();
    command.arg("demo").env("TMPDIR", folder);
    command
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn the_demo_shows_the_column_of_every_case() {
    let folder = tempfile::tempdir().unwrap();
    let said = said(demo(folder.path()).arg("--exit").output().unwrap());
    assert_eq!((said.code, &*said.err), (Some(0), ""));
    let rows = include_str!("golden/demo-of-2026-11-24.txt").lines().skip(2).take(11);
    for row in rows {
        assert!(said.out.lines().any(|line| line == row), "{row} is not in {}", said.out);
    }
    for part in [
        "  1. High    score 100  Ada Lindqvist",
        "  2. None               Gina Weber (guest)",
        "by week, at most 26",
    ] {
        assert!(said.out.contains(part), "{part} is not in {}", said.out);
    }
    assert!(is_empty(folder.path()), "the demo leaves something behind");
}

/// A demo that serves, and the lines that it asks to paste.
struct Serving {
    child: Child,
    lines: Vec<String>,
}

impl Serving {
    fn start(folder: &Path) -> Self {
        let mut child = demo(folder).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.as_mut().unwrap());
        let mut lines = Vec::new();
        for line in out.lines().map(Result::unwrap) {
            let is_last = line.ends_with("--data-sharing on");
            lines.push(line.trim().to_owned());
            if is_last {
                break;
            }
        }
        Self { child, lines }
    }
}

fn shell(line: &str) -> Said {
    said(Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().unwrap())
}

#[test]
fn the_lines_of_the_demo_work_as_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Serving::start(folder.path());
    let columns: Vec<_> = demo
        .lines
        .iter()
        .filter(|line| line.starts_with(env!("CARGO_BIN_EXE_riskshare")))
        .map(|line| (shell(line), line))
        .inspect(|(said, line)| assert_eq!(said.code, Some(0), "{line}: {said:?}"))
        .filter_map(|(said, _)| {
            lines_with(&said.out, "Insider risk severity").join("").split(": ").nth(1).map(str::to_owned)
        })
        .collect();
    assert_eq!(columns, ["High", "User data is not available"]);
    send_signal(&demo.child, "-INT");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert!(is_empty(folder.path()), "the demo leaves something behind");
}

/// Reads the JSON of a grpcurl line as grpcurl does, by the descriptors of the services.
#[test]
fn the_grpcurl_lines_of_the_demo_are_calls_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Serving::start(folder.path());
    let pool = prost_reflect::DescriptorPool::decode(riskshare::pb::DESCRIPTORS).unwrap();
    let calls: Vec<_> =
        demo.lines.iter().filter(|line| line.starts_with("grpcurl -plaintext -d '")).collect();
    assert_eq!(calls.len(), 3);
    for line in calls {
        let (body, rest) = line["grpcurl -plaintext -d '".len()..].split_once("' ").unwrap();
        let (_, method) = rest.split_once(' ').unwrap();
        let (service, method) = method.split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|one| one.name() == method).unwrap();
        let mut json = serde_json::Deserializer::from_str(body);
        let request = prost_reflect::DynamicMessage::deserialize(method.input(), &mut json).unwrap();
        assert!(request.has_field_by_name("tenant_id"), "{line}");
    }
    send_signal(&demo.child, "-TERM");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_demo_takes_no_address_that_strangers_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let said = said(demo(folder.path()).args(["--exit", "--listen", "0.0.0.0:0"]).output().unwrap());
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("can be reached from other machines"), "{said:?}");
    assert!(is_empty(folder.path()));
}

/// Returns the shell examples of the document that ask a server.
fn examples() -> Vec<&'static str> {
    let document = include_str!("../docs/cli.md");
    document.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_examples_of_the_document_work_one_after_the_other() {
    let desk = Desk::new();
    let program = PathBuf::from(env!("CARGO_BIN_EXE_riskshare"));
    let script = format!(
        "set -e\nriskshare() {{ {} \"$@\" --server {}; }}\n{}",
        program.display(),
        desk.server.address(),
        examples().concat()
    );
    let output = Command::new("sh").args(["-c", &script]).current_dir(desk.folder.path()).output().unwrap();
    let said = said(output);
    assert_eq!((said.code, &*said.err), (Some(0), ""), "{said:?}");
    let example = include_str!("../docs/cli.md");
    let counts = example.split("```text\n").find(|text| text.starts_with("accepted")).unwrap();
    assert!(said.out.contains(counts.split("```").next().unwrap()), "{said:?}");
    assert!(said.out.contains("  1. Medium  score 34   alex@contoso.com\n"), "{said:?}");
    let answer = std::fs::read_to_string(desk.folder.path().join("answer.json")).unwrap();
    assert!(serde_json::from_str::<Value>(&answer).is_ok());
}

#[test]
fn the_examples_of_the_document_that_need_no_server_work() {
    let folder = tempfile::tempdir().unwrap();
    let document = include_str!("../docs/cli.md");
    let examples: Vec<_> = document.split("```sh here\n").skip(1).collect();
    assert!(!examples.is_empty());
    for text in examples {
        let (example, rest) = text.split_once("```").unwrap();
        let script =
            format!("set -e\nriskshare() {{ {} \"$@\"; }}\n{example}", env!("CARGO_BIN_EXE_riskshare"));
        let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let said = said(output);
        assert_eq!((said.code, &*said.err), (Some(0), ""), "{example}: {said:?}");
        let printed = rest.strip_prefix("\n\n```text\n").and_then(|rest| rest.split("```").next());
        for line in printed.unwrap_or_default().lines() {
            assert!(said.out.lines().any(|other| other == line), "{line} is not in {}", said.out);
        }
    }
}
