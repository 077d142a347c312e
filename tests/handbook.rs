//! The handbook of whoever runs the server is held to the code: what it names exists, and what exists is named.

use riskshare::config::KEYS;
use riskshare::grpc::status::reason_name;
use riskshare::pb::ErrorReason;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const OPERATIONS: &str = "docs/operations.md";
const TROUBLESHOOTING: &str = "docs/troubleshooting.md";
const RULES: &str = "deploy/prometheus/riskshare.rules.yaml";

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
}

/// Returns the part of a document below a heading, up to the next one of the same depth.
fn section<'d>(document: &'d str, heading: &str) -> &'d str {
    let (_, rest) = document.split_once(&format!("\n{heading}\n")).expect(heading);
    let depth = heading.split(' ').next().unwrap();
    rest.split(&format!("\n{depth} ")).next().unwrap()
}

/// Returns every reason with its gRPC code, which the comment in the contract begins with.
fn reasons() -> BTreeSet<(String, String)> {
    let contract = read("proto/riskshare/v1/error_reason.proto");
    let reason = |number| {
        let reason = ErrorReason::try_from(number).ok()?;
        let (before, _) = contract.split_once(&format!("  {} = {number};", reason.as_str_name())).unwrap();
        let comment = before.lines().rev().map_while(|line| line.trim_start().strip_prefix("// "));
        let code = comment.last().unwrap().split([':', ',']).next().unwrap();
        Some((reason_name(reason).to_owned(), code.to_owned()))
    };
    (1..1_000).filter_map(reason).collect()
}

#[test]
fn every_reason_has_its_row_and_there_is_none_for_another() {
    let reasons = reasons();
    assert!(reasons.len() >= 19, "{reasons:?}");
    for (path, heading) in [(TROUBLESHOOTING, "## Every reason"), ("docs/api.md", "## Errors")] {
        let document = read(path);
        let rows: Vec<_> = section(&document, heading)
            .lines()
            .filter_map(|line| {
                let mut cells = line.strip_prefix("| `")?.split(" | ");
                Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned()))
            })
            .collect();
        let named: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(rows.len(), named.len(), "{path}: one is there twice");
        assert_eq!(named, reasons, "{path}, {heading}");
    }
}

#[test]
fn a_word_that_looks_like_a_reason_is_one() {
    const OTHERS: [&str; 3] = ["NOT_SERVING", "AF_INET", "AF_UNIX"];
    let is_reason_like = |word: &str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_uppercase() || c == '_') && !word.ends_with('_')
    };
    let known: BTreeSet<_> = reasons().into_iter().flat_map(|(reason, code)| [reason, code]).collect();
    for path in [OPERATIONS, TROUBLESHOOTING] {
        let document = read(path);
        let words = document.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let unknown: BTreeSet<_> = words
            .filter(|word| is_reason_like(word) && !known.contains(*word) && !OTHERS.contains(word))
            .collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
}

/// Returns the names of alerts in the rules, in their order.
fn alerts(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim_start().strip_prefix("- alert: ")).collect()
}

#[test]
fn every_alert_has_its_section_its_rule_leads_there_and_no_other_is_named() {
    let (rules, document) = (read(RULES), read(TROUBLESHOOTING));
    let alerts = alerts(&rules);
    assert!(alerts.len() >= 9, "{alerts:?}");
    let sections: Vec<_> =
        section(&document, "## Alerts").lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(sections, alerts, "in the order of the rules");
    for alert in &alerts {
        let (_, rule) = rules.split_once(&format!("- alert: {alert}\n")).unwrap();
        let rule = rule.split("- alert: ").next().unwrap();
        let runbook = format!("runbook: {TROUBLESHOOTING}#{}\n", alert.to_lowercase());
        assert!(rule.contains(&runbook), "{alert} must have {runbook}");
        for part in ["Means", "Look", "Do"] {
            let text = section(&document, &format!("### {alert}"));
            assert!(text.contains(&format!("- **{part}**: ")), "{alert} does not say: {part}");
        }
    }
    for path in [OPERATIONS, TROUBLESHOOTING, "docs/observability.md"] {
        let document = read(path);
        let words = document.split(|c: char| !c.is_ascii_alphanumeric());
        let unknown: BTreeSet<_> =
            words.filter(|word| word.starts_with("Riskshare") && !alerts.contains(word)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
    assert_eq!(rules, read("helm/riskshare/files/riskshare.rules.yaml"), "the chart's copy is another one");
}

/// Returns the anchors of a document's headings, as they are made for links.
fn anchors(document: &str) -> BTreeSet<String> {
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').strip_prefix(' ')?.to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        Some(kept.map(|c| if c == ' ' { '-' } else { c }).collect())
    };
    document.lines().filter(|line| line.starts_with('#')).filter_map(anchor).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for path in [OPERATIONS, TROUBLESHOOTING, "docs/observability.md"] {
        let document = read(path);
        let links = document.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.into() } else { Path::new("docs").join(file) };
            assert!(target.exists(), "{path}: {link}");
            assert!(anchor.is_empty() || anchors(&read(target)).contains(anchor), "{path}: {link}");
        }
    }
}

/// Returns what stands between backticks, without the lines of fenced blocks.
fn quoted(document: &str) -> impl Iterator<Item = &str> {
    document
        .lines()
        .filter(|line| !line.starts_with("```"))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_setting_and_metric_that_is_named_exists() {
    let sections: BTreeSet<_> = KEYS.iter().filter_map(|key| Some(key.name.split_once('.')?.0)).collect();
    let documents = ["docs/observability.md", "docs/siem.md"].map(read).concat();
    for path in [OPERATIONS, TROUBLESHOOTING] {
        let document = read(path);
        let mut named = 0;
        for word in quoted(&document) {
            let is_name = word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
            if is_name && word.split_once('.').is_some_and(|(section, _)| sections.contains(section)) {
                named += 1;
                assert!(KEYS.iter().any(|key| key.name == word), "{path}: there is no setting {word}");
            }
            if word.starts_with("riskshare_") {
                assert!(documents.contains(word), "{path}: there is no metric {word}");
            }
        }
        assert!(named > 5, "{path}");
    }
}

fn program(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_riskshare")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Returns the calls of the program in the commands of a document: the words of each behind its name.
fn calls(document: &str) -> Vec<Vec<&str>> {
    let mut is_block = false;
    let mut calls = Vec::new();
    for line in document.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
            continue;
        }
        let is_command = is_block || line.starts_with("    ");
        let commands: Vec<_> =
            if is_command { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for command in commands.into_iter().filter(|command| !command.contains("psql")) {
            for (at, _) in command.match_indices("riskshare ") {
                let is_alone = command[..at].chars().next_back().is_none_or(|c| matches!(c, ' ' | '/'));
                let rest = &command[at + "riskshare ".len()..];
                let words =
                    rest.split_whitespace().take_while(|word| !matches!(*word, "|" | "&&" | "&" | "#"));
                let words: Vec<_> = words.collect();
                let names_a_command = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
                if is_alone
                    && words.first().is_some_and(|word| names_a_command(word) && !word.starts_with('-'))
                {
                    calls.push(words);
                }
            }
        }
    }
    calls
}

#[test]
fn every_command_and_flag_that_is_named_exists() {
    for path in [OPERATIONS, TROUBLESHOOTING] {
        let document = read(path);
        let calls = calls(&document);
        assert!(calls.len() > 20, "{path}: {calls:?}");
        for call in calls {
            let groups = ["settings", "audit"];
            let depth = if groups.contains(&call[0]) { 2 } else { 1 };
            let command: Vec<_> = call.iter().take(depth).copied().chain(["--help"]).collect();
            let (exists, help) = program(&command);
            assert!(exists, "{path}: riskshare {call:?}: {help}");
            for flag in call.iter().filter_map(|word| word.strip_prefix("--")).filter(|flag| !flag.is_empty())
            {
                let is_there = help.split_whitespace().any(|word| word.trim_start_matches("--") == flag);
                assert!(is_there, "{path}: riskshare {call:?} has no --{flag}");
            }
        }
    }
}

#[test]
fn the_settings_of_the_installation_hold() {
    let folder = tempfile::tempdir().unwrap();
    let document = read(OPERATIONS);
    let (settings, _) = document.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
    let file = folder.path().join("riskshare.toml");
    fs::write(&file, settings).unwrap();
    let (holds, text) = program(&["check-config", "--config", file.to_str().unwrap()]);
    assert!(holds, "{text}");
}
