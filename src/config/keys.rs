//! Every key of the configuration: its flag, its bounds and its reason. The only place for them: numbers are checked by this
//! table, and the tables of `docs/configuration.md` are written from it (`reference`).

use crate::config::reference::Bounds::{Number, Words};
use crate::config::reference::{Key, Least, key, secret};

/// In the order of the document. The reasons are Markdown.
pub const KEYS: [Key; 61] = [
    key(
        "listen",
        "--listen",
        Words("an address and a port; 0 takes a free port"),
        "Loopback, where one person's programs are. 50051 is the usual port of gRPC examples.",
    ),
    key(
        "allow_unauthenticated_network",
        "--allow-unauthenticated-network",
        Words("true, false"),
        "Whoever reaches the port of a server that authenticates nobody reads and changes everything. An address \
         that other machines can reach is refused unless it speaks TLS and callers must prove who they are \
         (`auth.mode`), or somebody has said here that the network keeps strangers away.",
    ),
    key(
        "auth.mode",
        "--auth-mode",
        Words("none, mtls, oidc, mtls_or_oidc"),
        "How callers are known; `security.md` shows each. `none` takes everybody for the one person whose machine \
         this is.",
    ),
    key(
        "auth.principals_file",
        "--auth-principals-file",
        Words("a TOML or, named `.json`, a JSON file; needed for mtls and mtls_or_oidc"),
        "Which client certificate is which principal, with which roles and tenants. Read again within a second of \
         a change; one that does not hold changes nothing, and the log says why.",
    ),
    key(
        "auth.open_reflection",
        "--auth-open-reflection",
        Words("true, false"),
        "The contract is no secret, but whoever is unknown need not be served. Mode `none` serves reflection \
         anyway.",
    ),
    key(
        "auth.oidc.issuer",
        "--oidc-issuer",
        Words("an https URL, or http on loopback; needed for oidc and mtls_or_oidc"),
        "The `iss` of every token, to the letter. `{tenantid}` stands for the token's tenant; it needs \
         `auth.oidc.jwks_uri` and `auth.oidc.tenants`.",
    ),
    key(
        "auth.oidc.audience",
        "--oidc-audience",
        Words("any text; needed for oidc and mtls_or_oidc"),
        "A token for another service must not open this one.",
    ),
    key(
        "auth.oidc.jwks_uri",
        "--oidc-jwks-uri",
        Words("an https URL, or http on loopback"),
        "Empty: the issuer's discovery document says where its keys are.",
    ),
    key(
        "auth.oidc.tenants",
        "--oidc-tenants",
        Words("UUIDs with commas between"),
        "Empty: the issuer is believed for every tenant. Name them when it also serves organisations that are not \
         yours.",
    ),
    key(
        "auth.oidc.tenant_claim",
        "--oidc-tenant-claim",
        Words("the name of a claim at the top of the token"),
        "What Entra ID calls it. It must hold one UUID.",
    ),
    key(
        "auth.oidc.roles_claim",
        "--oidc-roles-claim",
        Words("the name of a claim at the top of the token"),
        "What Entra ID calls it. It holds a list of texts, or one.",
    ),
    key(
        "auth.oidc.algorithms",
        "--oidc-algorithms",
        Words("some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, with commas between"),
        "What issuers use. `none` and shared secrets (HS256) cannot be allowed.",
    ),
    key(
        "data_dir",
        "--data-dir",
        Words("a directory; made when absent"),
        "Beside the process, so that a first try needs no rights.",
    ),
    key(
        "log.format",
        "--log-format",
        Words("auto, text, json"),
        "Text for people, JSON for collectors; `auto` is text when stderr is a terminal, else JSON. The log goes \
         to stderr.",
    ),
    key(
        "log.filter",
        "--log-filter",
        Words("a filter such as `warn,riskshare=debug`"),
        "Start, stop and faults; of the libraries only faults. No level logs personal data.",
    ),
    key(
        "limits.max_message_bytes",
        "--max-message-bytes",
        Number(Least::Of(65_536), 67_108_864),
        "4 MiB holds the largest queue page by far; a larger message is refused before it is read.",
    ),
    key(
        "limits.max_ingest_message_bytes",
        "--max-ingest-message-bytes",
        Number(Least::Key("limits.max_message_bytes"), 268_435_456),
        "16 MiB holds 10,000 activities of common size.",
    ),
    key(
        "limits.max_concurrent_requests",
        "--max-concurrent-requests",
        Number(Least::Of(1), 65_536),
        "One more is refused at once with OVERLOADED rather than queued. What calls hold in memory is bounded by \
         the next row. Calls of `SettingsService` and of health are not counted: sharing can be turned off under \
         any load.",
    ),
    key(
        "limits.max_buffered_bytes",
        "--max-buffered-bytes",
        Number(Least::Key("limits.max_ingest_message_bytes"), 68_719_476_736),
        "256 MiB of requests that have not come in whole, and again of replies that their readers have not taken; \
         a call that finds no room is refused with OVERLOADED.",
    ),
    key(
        "limits.max_connections",
        "--max-connections",
        Number(Least::Of(1), 100_000),
        "One more is closed unread. Keep the process's file descriptors above it.",
    ),
    key(
        "limits.max_connections_per_address",
        "--max-connections-per-address",
        Number(Least::Of(1), 100_000),
        "No peer takes all connections. Behind a load balancer that hides its clients' addresses set it to \
         `limits.max_connections`.",
    ),
    key(
        "limits.max_streams_per_connection",
        "--max-streams-per-connection",
        Number(Least::Of(1), 1_024),
        "Above the 100 that clients begin with before they know the number.",
    ),
    key(
        "limits.query_seconds",
        "--query-seconds",
        Number(Least::Of(1), 600),
        "A call that takes longer ends with DEADLINE_EXCEEDED; callers may ask for less (`grpc-timeout`), never \
         for more.",
    ),
    key(
        "limits.ingest_seconds",
        "--ingest-seconds",
        Number(Least::Of(1), 600),
        "As above, for ingest, which waits for the disk.",
    ),
    key(
        "limits.stream_idle_seconds",
        "--stream-idle-seconds",
        Number(Least::Of(1), 3_600),
        "A stream whose next message does not come ends with DEADLINE_EXCEEDED: it holds a place.",
    ),
    key(
        "limits.reply_seconds",
        "--reply-seconds",
        Number(Least::Of(1), 3_600),
        "A reply that its reader has not taken by then ends the connection: it holds memory.",
    ),
    key(
        "limits.connection_seconds",
        "--connection-seconds",
        Number(Least::Of(10), 86_400),
        "At some age between half of it and all of it a client is asked to connect anew, so that load spreads \
         again after a restart; calls in progress have 30 s more.",
    ),
    key(
        "limits.tenant_requests_per_second",
        "--tenant-requests-per-second",
        Number(Least::NoLimit, 1_000_000),
        "One tenant cannot take the server from the others; a call too many is refused with RATE_LIMITED and the \
         time to wait. Settings can always be read and changed.",
    ),
    key(
        "limits.denials_per_minute",
        "--denials-per-minute",
        Number(Least::NoLimit, 100_000),
        "A caller is refused for want of a role or a tenant with a line in the audit log, which is kept for \
         months. So many a minute, and at once; a call of the same principal that would be refused once more is \
         told RATE_LIMITED and leaves no line. Calls that it may make are not touched.",
    ),
    key(
        "tls.certificate",
        "--tls-certificate",
        Words("a PEM file"),
        "The server's certificate and those that lead to its authority. Empty speaks no TLS. This file and the \
         next two are read again when they change; a bad change is logged, and the last good state stays.",
    ),
    key("tls.private_key", "--tls-private-key", Words("a PEM file"), "Belongs to the certificate."),
    key(
        "tls.client_ca",
        "--tls-client-ca",
        Words("a PEM file"),
        "The authorities whose clients are believed.",
    ),
    key(
        "tls.client_crl",
        "--tls-client-crl",
        Words("a PEM file"),
        "Revocation lists (CRLs), one of each authority that signs, whether of clients or of other authorities. \
         Empty: revocation is not looked at. With it a client is refused whose issuer has no list there, or one \
         whose `nextUpdate` is past: publish in time.",
    ),
    key(
        "tls.client_auth",
        "--tls-client-auth",
        Words("none, optional, required"),
        "`required` lets only clients in whose certificate an authority of `tls.client_ca` signed; `optional` \
         refuses only certificates that none signed.",
    ),
    key(
        "tls.min_version",
        "--tls-min-version",
        Words("1.2, 1.3"),
        "1.2 is for clients that cannot be renewed.",
    ),
    key(
        "audit.retention_days",
        "--audit-retention-days",
        Number(Least::Of(30), 3_650),
        "How long the audit log is kept at least ([audit.md](audit.md)). 180 days are what Purview Audit \
         (Standard) keeps; your law may ask for more.",
    ),
    key(
        "management_api.listen",
        "--management-api-listen",
        Words("an address and a port; 0 takes a free port"),
        "Empty: the Office 365 Management Activity API is not served ([siem.md](siem.md)). A port of its own: it \
         speaks HTTP/1.1, and other people reach it. With `tls.certificate` it speaks TLS. The same addresses are \
         refused as for `listen`.",
    ),
    key(
        "management_api.public_url",
        "--management-api-public-url",
        Words("a URL"),
        "What `contentUri` and `NextPageUri` begin with, where a proxy stands between. Empty: the `Host` header \
         of the request. Webhooks need it.",
    ),
    key(
        "management_api.audience",
        "--management-api-audience",
        Words("any text"),
        "Empty: `auth.oidc.audience`. Connectors made for Microsoft's service ask for tokens for \
         `https://manage.office.com`.",
    ),
    key(
        "management_api.webhook_hosts",
        "--management-api-webhook-hosts",
        Words("names with commas between"),
        "Whoever may start subscriptions names the webhook. Empty: none is accepted, for the server would knock \
         at any door of its network.",
    ),
    key(
        "management_api.webhook_ca",
        "--management-api-webhook-ca",
        Words("a PEM file"),
        "Authorities whose webhooks are believed beside those that the system knows.",
    ),
    key(
        "management_api.requests_per_minute",
        "--management-api-requests-per-minute",
        Number(Least::NoLimit, 1_000_000),
        "For each tenant; Microsoft's baseline. One more gets AF429.",
    ),
    key(
        "export.cycle_minutes",
        "--export-cycle-minutes",
        Number(Least::Of(1), 1_440),
        "How often changes of risk alerts of tenants with `alert_export_enabled` are exported. Microsoft's \
         period. The schedule survives a restart.",
    ),
    key(
        "export.backlog_bytes",
        "--export-backlog-bytes",
        Number(Least::Of(1_048_576), 1_099_511_627_776),
        "Everything is kept for seven days. What a receiver below has not taken by then is kept as long as it \
         fits here, a record counted as 1 KiB; beyond it the log says loudly what is dropped.",
    ),
    key(
        "export.syslog.url",
        "--export-syslog-url",
        Words("tcp://host:port or tls://host:port"),
        "A syslog collector (RFC 5424; frames with their length). Empty: none.",
    ),
    key(
        "export.syslog.ca",
        "--export-syslog-ca",
        Words("a PEM file, for tls:// only"),
        "The authorities whose collectors are believed.",
    ),
    key(
        "export.syslog.format",
        "--export-syslog-format",
        Words("cef, ocsf, record"),
        "What collectors know best. `record` is a record of the Management Activity API.",
    ),
    key(
        "export.file.path",
        "--export-file-path",
        Words("a file; made when absent, for its owner alone"),
        "JSON Lines, or CEF lines, for whatever ships files. It is opened for each delivery, so it can be \
         rotated. Empty: none.",
    ),
    key("export.file.format", "--export-file-format", Words("cef, ocsf, record"), "As above."),
    key(
        "metrics.listen",
        "--metrics-listen",
        Words("an address and a port; 0 takes a free port"),
        "Empty: no metrics. OpenMetrics text, which Prometheus reads, at `/metrics`, plain HTTP, for everybody \
         who reaches the port: no metric is about a tenant or a user.",
    ),
    key(
        "health.listen",
        "--health-listen",
        Words("an address and a port; 0 takes a free port"),
        "Empty: health is told on the port of all services alone. Else also here: `grpc.health.v1` and nothing \
         else, over gRPC in plaintext, for everybody who reaches the port, since probes of orchestrators carry no \
         certificate. It opens before the data are read and closes last ([api.md](api.md#health)).",
    ),
    key(
        "traces.otlp_endpoint",
        "--traces-otlp-endpoint",
        Words("`http://host:port`"),
        "Empty: no traces. Else spans of calls, and of what the store does for them, go to that OpenTelemetry collector \
         by OTLP over gRPC. They hold nothing about a tenant or a user ([observability.md](observability.md#traces)).",
    ),
    key(
        "traces.sample_per_mille",
        "--traces-sample-per-mille",
        Number(Least::Of(0), 1_000),
        "How many of a thousand calls are traced of which the caller's `traceparent` does not say. A hundredth shows \
         where time goes and costs next to nothing.",
    ),
    secret(
        "postgres.url",
        "--postgres-url",
        Words("`postgres://user:password@host/database`, or `host=... user=... dbname=...`"),
        "Empty: the embedded engine, in `data_dir`. Else the data live in that database, which several replicas \
         may share ([postgres.md](postgres.md)).",
    ),
    key(
        "postgres.url_file",
        "--postgres-url-file",
        Words("a file that holds the URL and nothing else"),
        "The URL has a password, which should stand in no process list.",
    ),
    key(
        "postgres.ca",
        "--postgres-ca",
        Words("a PEM file"),
        "The authorities whose server is believed. Empty: TLS is not spoken, as is right on one machine alone.",
    ),
    key(
        "postgres.connections",
        "--postgres-connections",
        Number(Least::Of(4), 1_000),
        "Each answer about users holds a connection until it is handed over; a quarter and an eighth are kept for \
         commits and for changes of settings, and two for the audit log. Keep the sum over all replicas below the \
         server's `max_connections`.",
    ),
    key(
        "postgres.replica",
        "--postgres-replica",
        Words("at most 48 bytes"),
        "What the replica is called where a switch names those that it cut off, and in the database's list of \
         sessions. Empty: by its process id.",
    ),
    key(
        "postgres.strict_switch",
        "--postgres-strict-switch",
        Words("true, false"),
        "Turning sharing off waits for every answer that is being handed over, however long, and ends none. A \
         replica that is frozen then holds every switch up until it goes on or somebody ends it: the call ends \
         with DEADLINE_EXCEEDED and the switch goes on waiting. The same for all replicas.",
    ),
    key(
        "drain_pause_seconds",
        "--drain-pause-seconds",
        Number(Least::Of(0), 60),
        "Told to stop, the server says NOT_SERVING and goes on so long before it closes the port. Behind a load \
         balancer set it above the period of its health checks (5 is common); alone it would only delay.",
    ),
    key(
        "drain_seconds",
        "--drain-seconds",
        Number(Least::Of(0), 600),
        "Less than the 30 s that orchestrators wait before they kill.",
    ),
];
