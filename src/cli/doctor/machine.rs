//! What the machine gives: ports and file descriptors; and who can reach it.

use super::finding::Finding;
use crate::config::Config;
use rustix::process::{Resource, getrlimit};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};

const PORTS: &str = "ports";
const DESCRIPTORS: &str = "file descriptors";
const CALLERS: &str = "callers";

/// Files of the store, of the log and of the runtime.
const OWN_FILES: u64 = 256;

/// Looks at the machine.
pub fn findings(config: &Config) -> Vec<Finding> {
    let ports = ports(config);
    let mut findings: Vec<_> = ports.iter().map(|(key, address)| port(key, *address)).collect();
    findings.extend(twice(&ports));
    findings.push(descriptors(config, ports.len()));
    findings.push(callers(config));
    findings
}

/// Returns where the server would listen, by key.
fn ports(config: &Config) -> Vec<(&'static str, SocketAddr)> {
    let all = [
        ("listen", Some(config.listen)),
        ("management_api.listen", config.management_api.address()),
        ("metrics.listen", config.metrics.address()),
        ("health.listen", config.health.address()),
    ];
    all.into_iter().filter_map(|(key, address)| Some((key, address?))).collect()
}

fn port(key: &str, address: SocketAddr) -> Finding {
    let Err(cause) = TcpListener::bind(address) else {
        return Finding::ok(PORTS, format!("{key}: {address} is free"));
    };
    let (text, advice) = match cause.kind() {
        ErrorKind::AddrInUse => {
            ("is taken", "stop whoever has it, which may be a server of these settings, or choose another")
        }
        ErrorKind::AddrNotAvailable => ("is no address of this machine", "choose one of its addresses"),
        ErrorKind::PermissionDenied => ("is not for this account", "choose a port above 1023"),
        _ => ("cannot be listened on", "choose another"),
    };
    Finding::failure(PORTS, format!("{key}: {address} {text}"), advice)
}

/// Finds keys that name one port: each is free, and only the first to come gets it.
fn twice(ports: &[(&'static str, SocketAddr)]) -> Option<Finding> {
    let names_it = |(index, (_, address)): (usize, &(&str, SocketAddr))| {
        address.port() != 0 && ports[..index].iter().any(|(_, other)| other == address)
    };
    let index = ports.iter().enumerate().position(names_it)?;
    let (key, address) = ports[index];
    let text = format!("{key}: {address} is that of another port of the server too");
    Some(Finding::failure(PORTS, text, "give each its own"))
}

fn descriptors(config: &Config, ports: usize) -> Finding {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let connections = count(config.limits.max_connections).saturating_mul(count(ports));
    let database = if config.postgres.is_used() { count(config.postgres.connections) } else { 0 };
    let needed = connections + database + OWN_FILES;
    // None: without a limit.
    enough(needed, getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX))
}

fn enough(needed: u64, allowed: u64) -> Finding {
    let text = format!("{allowed} are allowed, {needed} can be needed");
    let advice = "raise the limit (LimitNOFILE= of systemd, ulimit -n), or lower limits.max_connections";
    if allowed < needed {
        Finding::warning(DESCRIPTORS, text, advice)
    } else {
        Finding::ok(DESCRIPTORS, text)
    }
}

fn callers(config: &Config) -> Finding {
    let shows_who = config.tls_files().is_some() && config.auth.mode.authenticates();
    let reachable = [Some(config.listen), config.management_api.address()];
    let reachable = reachable.into_iter().flatten().find(|address| !address.ip().is_loopback());
    match reachable {
        Some(address) if !shows_who => Finding::warning(
            CALLERS,
            format!(
                "whoever reaches {address} reads and changes everything: nobody has to show who they are"
            ),
            "set auth.mode and TLS (docs/security.md), or be sure that the network keeps strangers away",
        ),
        _ if shows_who => Finding::ok(CALLERS, "must show who they are"),
        _ => Finding::ok(CALLERS, "are not asked who they are, and come from this machine alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn a_port_has_one_use() {
        let ports = |texts: [&str; 3]| {
            let keys = ["listen", "metrics.listen", "health.listen"];
            let all: Vec<_> = keys.into_iter().zip(texts.map(|text| text.parse().unwrap())).collect();
            twice(&all).map(|finding| finding.text)
        };
        assert_eq!(ports(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]), None);
        assert_eq!(ports(["127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:3"]), None, "each gets a free one");
        let text = ports(["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"]).unwrap();
        assert!(text.starts_with("health.listen: 127.0.0.1:1 "), "{text}");
    }

    #[test]
    fn descriptors_are_enough_or_not() {
        assert_eq!(enough(1_256, 1_256).verdict, Verdict::Ok);
        assert_eq!(enough(1_257, 1_256).verdict, Verdict::Warning);
    }

    #[test]
    fn strangers_are_told_of_where_nobody_shows_who_they_are() {
        let verdict = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            callers(&config).verdict
        };
        assert_eq!(verdict(|_| {}), Verdict::Ok);
        assert_eq!(verdict(|config| config.listen = "10.0.0.1:1".parse().unwrap()), Verdict::Warning);
        assert_eq!(verdict(|config| config.management_api.listen = "10.0.0.1:1".into()), Verdict::Warning);
    }
}
