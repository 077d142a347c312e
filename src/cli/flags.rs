//! The settings of the server as flags, for each command that needs them all.

use crate::config::Sources;
use clap::Args;
use std::path::PathBuf;

/// Every setting, and the file that has some.
#[derive(Args, Debug)]
pub struct SettingFlags {
    /// Read settings from this TOML file; RISKSHARE_CONFIG without it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here; port 0 takes a free one [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Allow an address that other machines can reach, although callers are not authenticated.
    #[arg(long)]
    allow_unauthenticated_network: bool,
    /// Keep the data here; made when absent [default: riskshare-data].
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Know callers by nothing (none, loopback only), mtls, oidc or mtls_or_oidc [default: none].
    #[arg(long, value_name = "MODE")]
    auth_mode: Option<String>,
    /// Read from this file which client certificate is which principal.
    #[arg(long, value_name = "FILE")]
    auth_principals_file: Option<String>,
    /// Let callers whom nobody knows read the contract by reflection.
    #[arg(long)]
    auth_open_reflection: bool,
    /// Believe tokens of this issuer.
    #[arg(long, value_name = "URL")]
    oidc_issuer: Option<String>,
    /// Take tokens for this audience only.
    #[arg(long, value_name = "AUDIENCE")]
    oidc_audience: Option<String>,
    /// Fetch the issuer's keys here, rather than where it says.
    #[arg(long, value_name = "URL")]
    oidc_jwks_uri: Option<String>,
    /// Believe the issuer for these tenants only.
    #[arg(long, value_name = "UUID,...")]
    oidc_tenants: Option<String>,
    /// Find a token's tenant in this claim [default: tid].
    #[arg(long, value_name = "CLAIM")]
    oidc_tenant_claim: Option<String>,
    /// Find a token's roles in this claim [default: roles].
    #[arg(long, value_name = "CLAIM")]
    oidc_roles_claim: Option<String>,
    /// Believe signatures of these algorithms [default: RS256,PS256,ES256,EdDSA].
    #[arg(long, value_name = "NAME,...")]
    oidc_algorithms: Option<String>,
    /// Log as text or as json; auto is text on a terminal, else json [default: auto].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log what passes this filter, such as debug [default: warn,riskshare=info].
    #[arg(long, value_name = "FILTER")]
    log_filter: Option<String>,
    /// Refuse larger requests than so many bytes, but for ingest [default: 4194304].
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<String>,
    /// Refuse larger ingest requests than so many bytes [default: 16777216].
    #[arg(long, value_name = "BYTES")]
    max_ingest_message_bytes: Option<String>,
    /// Refuse a call while so many are in progress [default: 1024].
    #[arg(long, value_name = "COUNT")]
    max_concurrent_requests: Option<String>,
    /// Keep audit lines for so many days [default: 180].
    #[arg(long, value_name = "DAYS")]
    audit_retention_days: Option<String>,
    /// Let requests, and again replies, take up so many bytes of memory while they wait [default: 268435456].
    #[arg(long, value_name = "BYTES")]
    max_buffered_bytes: Option<String>,
    /// Close a connection while there are so many [default: 1000].
    #[arg(long, value_name = "COUNT")]
    max_connections: Option<String>,
    /// Close a connection while there are so many of its address [default: 100].
    #[arg(long, value_name = "COUNT")]
    max_connections_per_address: Option<String>,
    /// Refuse a call while so many of its connection are in progress [default: 128].
    #[arg(long, value_name = "COUNT")]
    max_streams_per_connection: Option<String>,
    /// Let a call take so many seconds, but for ingest [default: 10].
    #[arg(long, value_name = "SECONDS")]
    query_seconds: Option<String>,
    /// Let an ingest call take so many seconds [default: 30].
    #[arg(long, value_name = "SECONDS")]
    ingest_seconds: Option<String>,
    /// Let the next message of a stream take so many seconds [default: 30].
    #[arg(long, value_name = "SECONDS")]
    stream_idle_seconds: Option<String>,
    /// Let a reply wait so many seconds for its reader [default: 60].
    #[arg(long, value_name = "SECONDS")]
    reply_seconds: Option<String>,
    /// Ask a client to connect anew after so many seconds at most [default: 600].
    #[arg(long, value_name = "SECONDS")]
    connection_seconds: Option<String>,
    /// Answer about a tenant so many times a second; 0 is no limit [default: 50000].
    #[arg(long, value_name = "COUNT")]
    tenant_requests_per_second: Option<String>,
    /// Write down so many refusals of a principal a minute; 0 is no limit [default: 60].
    #[arg(long, value_name = "COUNT")]
    denials_per_minute: Option<String>,
    /// Speak TLS, with the certificate in this PEM file and those that lead to its authority.
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The certificate's private key, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_private_key: Option<String>,
    /// The authorities that sign the certificates of clients, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// Their revocation lists, in PEM; a client of whom none says that it is not revoked is refused.
    #[arg(long, value_name = "FILE")]
    tls_client_crl: Option<String>,
    /// Ask clients for a certificate: none, optional, required [default: none].
    #[arg(long, value_name = "WHETHER")]
    tls_client_auth: Option<String>,
    /// Speak no older TLS than 1.2 or 1.3 [default: 1.3].
    #[arg(long, value_name = "VERSION")]
    tls_min_version: Option<String>,
    /// Serve the Management Activity API here, over HTTP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    management_api_listen: Option<String>,
    /// Name content by this URL, rather than by the one that callers use.
    #[arg(long, value_name = "URL")]
    management_api_public_url: Option<String>,
    /// Take tokens for this audience on that port, rather than for --oidc-audience.
    #[arg(long, value_name = "AUDIENCE")]
    management_api_audience: Option<String>,
    /// Let webhooks be at these hosts; there are none without it.
    #[arg(long, value_name = "HOST,...")]
    management_api_webhook_hosts: Option<String>,
    /// Authorities that sign the certificates of webhooks, in PEM, beside the system's.
    #[arg(long, value_name = "FILE")]
    management_api_webhook_ca: Option<String>,
    /// Answer about a tenant so many times a minute on that port; 0 is no limit [default: 2000].
    #[arg(long, value_name = "COUNT")]
    management_api_requests_per_minute: Option<String>,
    /// Export changes of risk alerts every so many minutes [default: 60].
    #[arg(long, value_name = "MINUTES")]
    export_cycle_minutes: Option<String>,
    /// Keep so much for receivers that have not taken it within seven days [default: 268435456].
    #[arg(long, value_name = "BYTES")]
    export_backlog_bytes: Option<String>,
    /// Send risk alerts to the collector at tcp://host:port or tls://host:port.
    #[arg(long, value_name = "URL")]
    export_syslog_url: Option<String>,
    /// The authorities that sign the collector's certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    export_syslog_ca: Option<String>,
    /// Send cef, ocsf or record [default: cef].
    #[arg(long, value_name = "FORMAT")]
    export_syslog_format: Option<String>,
    /// Write risk alerts to this file, one a line.
    #[arg(long, value_name = "FILE")]
    export_file_path: Option<String>,
    /// Write cef, ocsf or record [default: ocsf].
    #[arg(long, value_name = "FORMAT")]
    export_file_format: Option<String>,
    /// Serve metrics for Prometheus here, over HTTP.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Tell health here too, over gRPC without TLS, for probes that have no certificate.
    #[arg(long, value_name = "ADDRESS:PORT")]
    health_listen: Option<String>,
    /// Send traces to this OpenTelemetry collector: http://host:port.
    #[arg(long, value_name = "URL")]
    traces_otlp_endpoint: Option<String>,
    /// Trace so many of a thousand calls whose callers do not say [default: 10].
    #[arg(long, value_name = "COUNT")]
    traces_sample_per_mille: Option<String>,
    /// Keep the data in this database rather: postgres://user:password@host/database.
    #[arg(long, value_name = "URL")]
    postgres_url: Option<String>,
    /// Read that from this file.
    #[arg(long, value_name = "FILE")]
    postgres_url_file: Option<String>,
    /// Speak TLS with the database, whose certificate an authority in this PEM file signed.
    #[arg(long, value_name = "FILE")]
    postgres_ca: Option<String>,
    /// Use so many connections to the database [default: 32].
    #[arg(long, value_name = "COUNT")]
    postgres_connections: Option<String>,
    /// Call this replica so where a switch names those that it cut off [default: by its process id].
    #[arg(long, value_name = "NAME")]
    postgres_replica: Option<String>,
    /// Let turning sharing off wait for every answer of every replica, however long.
    #[arg(long)]
    postgres_strict_switch: bool,
    /// Go on so many seconds when told to stop, while health says that it does not serve [default: 0].
    #[arg(long, value_name = "SECONDS")]
    drain_pause_seconds: Option<String>,
    /// Give calls in progress so many seconds when told to stop [default: 20].
    #[arg(long, value_name = "SECONDS")]
    drain_seconds: Option<String>,
}

impl SettingFlags {
    /// Returns what this process is told: the flags, its environment and a file.
    pub fn sources(self) -> Sources {
        let file = self.config.clone();
        Sources::of_process(self.given(), file)
    }

    /// Returns the flags that were given, by their keys. Their values are judged with those of all other sources.
    fn given(self) -> Vec<(&'static str, String)> {
        let allow = self.allow_unauthenticated_network.then(|| "true".to_owned());
        let strict_switch = self.postgres_strict_switch.then(|| "true".to_owned());
        let open_reflection = self.auth_open_reflection.then(|| "true".to_owned());
        let all = [
            ("auth.mode", self.auth_mode),
            ("auth.principals_file", self.auth_principals_file),
            ("auth.open_reflection", open_reflection),
            ("auth.oidc.issuer", self.oidc_issuer),
            ("auth.oidc.audience", self.oidc_audience),
            ("auth.oidc.jwks_uri", self.oidc_jwks_uri),
            ("auth.oidc.tenants", self.oidc_tenants),
            ("auth.oidc.tenant_claim", self.oidc_tenant_claim),
            ("auth.oidc.roles_claim", self.oidc_roles_claim),
            ("auth.oidc.algorithms", self.oidc_algorithms),
            ("listen", self.listen),
            ("allow_unauthenticated_network", allow),
            ("data_dir", self.data_dir),
            ("log.format", self.log_format),
            ("log.filter", self.log_filter),
            ("limits.max_message_bytes", self.max_message_bytes),
            ("limits.max_ingest_message_bytes", self.max_ingest_message_bytes),
            ("limits.max_concurrent_requests", self.max_concurrent_requests),
            ("audit.retention_days", self.audit_retention_days),
            ("limits.max_buffered_bytes", self.max_buffered_bytes),
            ("limits.max_connections", self.max_connections),
            ("limits.max_connections_per_address", self.max_connections_per_address),
            ("limits.max_streams_per_connection", self.max_streams_per_connection),
            ("limits.query_seconds", self.query_seconds),
            ("limits.ingest_seconds", self.ingest_seconds),
            ("limits.stream_idle_seconds", self.stream_idle_seconds),
            ("limits.reply_seconds", self.reply_seconds),
            ("limits.connection_seconds", self.connection_seconds),
            ("limits.tenant_requests_per_second", self.tenant_requests_per_second),
            ("limits.denials_per_minute", self.denials_per_minute),
            ("tls.certificate", self.tls_certificate),
            ("tls.private_key", self.tls_private_key),
            ("tls.client_ca", self.tls_client_ca),
            ("tls.client_crl", self.tls_client_crl),
            ("tls.client_auth", self.tls_client_auth),
            ("tls.min_version", self.tls_min_version),
            ("management_api.listen", self.management_api_listen),
            ("management_api.public_url", self.management_api_public_url),
            ("management_api.audience", self.management_api_audience),
            ("management_api.webhook_hosts", self.management_api_webhook_hosts),
            ("management_api.webhook_ca", self.management_api_webhook_ca),
            ("management_api.requests_per_minute", self.management_api_requests_per_minute),
            ("export.cycle_minutes", self.export_cycle_minutes),
            ("export.backlog_bytes", self.export_backlog_bytes),
            ("export.syslog.url", self.export_syslog_url),
            ("export.syslog.ca", self.export_syslog_ca),
            ("export.syslog.format", self.export_syslog_format),
            ("export.file.path", self.export_file_path),
            ("export.file.format", self.export_file_format),
            ("metrics.listen", self.metrics_listen),
            ("health.listen", self.health_listen),
            ("traces.otlp_endpoint", self.traces_otlp_endpoint),
            ("traces.sample_per_mille", self.traces_sample_per_mille),
            ("postgres.url", self.postgres_url),
            ("postgres.url_file", self.postgres_url_file),
            ("postgres.ca", self.postgres_ca),
            ("postgres.connections", self.postgres_connections),
            ("postgres.replica", self.postgres_replica),
            ("postgres.strict_switch", strict_switch),
            ("drain_pause_seconds", self.drain_pause_seconds),
            ("drain_seconds", self.drain_seconds),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, KEYS, Key};
    use clap::CommandFactory;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        settings: SettingFlags,
    }

    #[test]
    fn every_key_has_its_flag() {
        for key in &KEYS {
            let flag = flag_of(key);
            let value = flag.get_action().takes_values().then_some("v");
            let settings = Flags::parse_from(["serve", key.flag].into_iter().chain(value)).settings;
            assert_eq!(settings.given(), [(key.name, value.unwrap_or("true").to_owned())]);
        }
        let flags = Flags::command().get_arguments().count();
        assert_eq!(flags, KEYS.len() + 1, "each of them but --config is of a key");
    }

    #[test]
    fn a_default_in_the_help_is_the_default() {
        let defaults = serde_json::to_value(Config::default()).unwrap();
        let mut said = 0;
        for key in &KEYS {
            let help = flag_of(key).get_help().unwrap().to_string();
            let default =
                help.split_once("[default: ").map(|(_, rest)| rest.trim_end_matches(']').to_owned());
            let Some(default) = default.filter(|text| !text.starts_with("by ")) else {
                assert!(!key.value_in(&defaults).is_number(), "{}: {help}", key.name);
                continue;
            };
            assert_eq!(default, key.value_in(&defaults).to_string().trim_matches('"'), "{}", key.name);
            said += 1;
        }
        assert!(said > 25, "{said}");
    }

    fn flag_of(key: &Key) -> clap::Arg {
        let command = Flags::command();
        let flag = command.get_arguments().find(|flag| flag.get_long() == key.flag.strip_prefix("--"));
        flag.expect(key.flag).clone()
    }
}
