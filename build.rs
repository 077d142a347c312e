//! Generates the wire types, without protoc. In every service that is not listed in `WITHOUT_USER_DATA` the
//! generated server trait demands `Reply<Message>`, which only a sharing grant can make: a new service is gated
//! unless somebody lists it here.
#![expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts through the environment")]

use prost::Message;
use prost_build::{Service, ServiceGenerator};
use std::path::{Path, PathBuf};

/// Services of which no field can hold anything derived from a user; and the audit log, which names users by number,
/// must be readable whether the tenant shares or not, and has a grant of its own.
const WITHOUT_USER_DATA: [&str; 3] = ["AuditService", "IngestService", "SettingsService"];

const PROTOS: [&str; 7] = [
    "riskshare/v1/alert_enrichment.proto",
    "riskshare/v1/audit.proto",
    "riskshare/v1/incident.proto",
    "riskshare/v1/ingest.proto",
    "riskshare/v1/pseudonym.proto",
    "riskshare/v1/risk_alert.proto",
    "riskshare/v1/settings.proto",
];

/// Requests that are read without making all of their messages, by their messages' names.
const UNREAD: [(&str, &str); 1] = [("BatchEnrichAlertsRequest", "crate::grpc::unread::UnreadPage")];

struct Gated {
    client: Box<dyn ServiceGenerator>,
    server: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Gated {
    fn generate(&mut self, mut service: Service, buf: &mut String) {
        self.client.generate(service.clone(), buf);
        if !WITHOUT_USER_DATA.contains(&service.proto_name.as_str()) {
            for method in &mut service.methods {
                method.output_type = format!("crate::grpc::reply::Reply<super::{}>", method.output_type);
            }
        }
        for method in &mut service.methods {
            let unread = UNREAD.iter().find(|(message, _)| *message == method.input_type);
            if let Some((_, unread)) = unread {
                method.input_type = (*unread).to_owned();
            }
        }
        self.server.generate(service, buf);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    tell_whether_postgres_is_here();
    tell_the_commit();
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let client = tonic_prost_build::configure().build_server(false).service_generator();
    let server = tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::grpc::codec::GatedCodec")
        .service_generator();
    prost_build::Config::new()
        .enable_type_names()
        .service_generator(Box::new(Gated { client, server }))
        .compile_fds(descriptors)?;
    Ok(())
}

/// Tests over PostgreSQL are left out, by name, where it is not installed. In CI they are never left out.
fn tell_whether_postgres_is_here() {
    println!("cargo::rustc-check-cfg=cfg(has_postgres)");
    println!("cargo::rerun-if-env-changed=CI");
    println!("cargo::rerun-if-env-changed=PATH");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders = std::env::split_paths(&path).chain(packaged.map(|version| version.path().join("bin")));
    if std::env::var_os("CI").is_some() || folders.any(|folder| folder.join("initdb").is_file()) {
        println!("cargo::rustc-cfg=has_postgres");
    }
}

/// RISKSHARE_COMMIT names the commit where the sources come without their history, such as in the build of an image. Else
/// a release build looks it up. Other builds do not: they would be made anew after each commit.
fn tell_the_commit() {
    println!("cargo::rerun-if-env-changed=RISKSHARE_COMMIT");
    if std::env::var_os("RISKSHARE_COMMIT").is_some() || std::env::var("PROFILE").as_deref() != Ok("release")
    {
        return;
    }
    let commit = head_commit(Path::new(".git")).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if let Some(commit) = commit {
        println!("cargo::rustc-env=RISKSHARE_COMMIT={commit}");
    }
}

/// Reads the commit that is checked out, without git. `None` where there is none, or it is kept in a way unknown here.
fn head_commit(git: &Path) -> Option<String> {
    // In a further work tree .git is a file that names its folder.
    let pointer = std::fs::read_to_string(git).ok();
    let folder =
        pointer.as_deref().and_then(|text| text.trim().strip_prefix("gitdir: ")).map_or(git, Path::new);
    let common = std::fs::read_to_string(folder.join("commondir")).ok();
    let common = common.map_or_else(|| folder.to_owned(), |path| folder.join(path.trim()));
    let watched = [
        folder.join("HEAD"),
        folder.join("logs/HEAD"),
        common.join("refs/heads"),
        common.join("packed-refs"),
    ];
    for path in watched.iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let head = std::fs::read_to_string(folder.join("HEAD")).ok()?;
    let Some(branch) = head.trim().strip_prefix("ref: ") else { return Some(head.trim().to_owned()) };
    if let Ok(commit) = std::fs::read_to_string(common.join(branch)) {
        return Some(commit.trim().to_owned());
    }
    let packed = std::fs::read_to_string(common.join("packed-refs")).ok()?;
    let line = packed.lines().find(|line| line.ends_with(&format!(" {branch}")))?;
    line.split(' ').next().map(str::to_owned)
}
