//! A peer that writes HTTP/2 frames by hand, and what it may want to know of its victim.

use crate::child::Server;
use prost::Message;
use riskshare::clock::{Clock, SystemClock};
use riskshare::pb;
use riskshare::pb::ingest_service_client::IngestServiceClient;
use riskshare::pb::settings_service_client::SettingsServiceClient;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tonic::transport::{Channel, Endpoint};

pub const HEADERS: u8 = 1;
pub const DATA: u8 = 0;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

const TENANT: &str = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long the peer waits for bytes before it takes the server for silent.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server to attack, and a client that was there before.
pub struct Victim {
    server: Server,
    client: SettingsServiceClient<Channel>,
    resting: u64,
    _data: TempDir,
}

impl Victim {
    pub async fn start(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start_with(data.path(), "127.0.0.1:0", arguments);
        let mut victim = Self {
            client: SettingsServiceClient::new(server.connect().await),
            server,
            resting: 0,
            _data: data,
        };
        for _ in 0..100 {
            victim.answers().await; // Memory that it takes once.
        }
        victim.resting = victim.memory();
        victim
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address().strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Asks as a client that has a connection.
    pub async fn answers(&mut self) {
        self.client.get_settings(question()).await.unwrap();
    }

    /// Makes the tenant share, and tells it 2 MB of a user's activities.
    pub async fn knows_much_of(&mut self, user: &str) {
        let settings =
            pb::Settings { data_sharing_enabled: true, user_analytics_enabled: true, ..Default::default() };
        let mask = ["data_sharing_enabled", "user_analytics_enabled"].map(ToOwned::to_owned);
        let request = pb::UpdateSettingsRequest {
            tenant_id: TENANT.to_owned(),
            settings: Some(settings),
            update_mask: Some(prost_types::FieldMask { paths: mask.to_vec() }),
            etag: String::new(),
        };
        self.client.update_settings(request).await.unwrap();
        let when = SystemClock.now() - chrono::TimeDelta::hours(1);
        let activity = |n: usize| pb::ActivityRecord {
            activity_id: format!("a-{n}"),
            user: Some(pb::UserIdentity { upn: user.to_owned(), ..Default::default() }),
            occurred_at: Some(prost_types::Timestamp { seconds: when.timestamp(), nanos: 0 }),
            indicator: "CopyToUSB".to_owned(),
            object_name: "x".repeat(4_000),
            ..Default::default()
        };
        let activities = (0..500).map(activity).collect();
        let batch =
            pb::IngestActivitiesRequest { tenant_id: TENANT.to_owned(), activities, raw_records: vec![] };
        let mut ingest = IngestServiceClient::new(self.server.connect().await);
        let counts = ingest.ingest_activities(batch).await.unwrap().into_inner().counts.unwrap();
        assert_eq!(counts.accepted, 500);
        self.resting = self.memory();
    }

    /// Asks as a client that comes anew, from another address than the attacker's.
    pub async fn answers_a_newcomer(&self) {
        let address = self.address();
        let connect = tower::service_fn(move |_: http::Uri| async move {
            let socket = TcpSocket::new_v4()?;
            socket.bind("127.0.0.2:0".parse().unwrap())?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(socket.connect(address).await?))
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect_with_connector(connect).await.unwrap();
        SettingsServiceClient::new(channel).get_settings(question()).await.unwrap();
    }

    /// Returns by how many MiB the server's resident memory has grown.
    pub fn grown(&self) -> u64 {
        self.memory().saturating_sub(self.resting) / 1_024
    }

    /// Returns its resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

fn question() -> pb::GetSettingsRequest {
    pb::GetSettingsRequest { tenant_id: TENANT.to_owned() }
}

/// Returns a question about a user's activities, in its frame.
pub fn timeline(user: &str) -> Vec<u8> {
    let message = pb::ListUserActivitiesRequest {
        tenant_id: TENANT.to_owned(),
        user: Some(pb::UserIdentity { upn: user.to_owned(), ..Default::default() }),
        page_size: 500,
        ..Default::default()
    }
    .encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat()
}

/// A connection of the attacker's.
pub struct Peer {
    stream: TcpStream,
    /// Frames that have not been sent yet.
    waiting: Vec<u8>,
    received: Vec<u8>,
}

impl Peer {
    /// Connects and says no more than HTTP/2 asks for.
    pub fn connect(address: SocketAddr) -> Self {
        let mut peer = Self::silent(address);
        peer.waiting.extend(PREFACE);
        peer.frame(SETTINGS, 0, 0, &[]);
        peer
    }

    /// Connects and says nothing.
    pub fn silent(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, waiting: Vec::new(), received: Vec::new() }
    }

    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.waiting.extend(&length[1..]);
        self.waiting.extend([kind, flags]);
        self.waiting.extend(stream.to_be_bytes());
        self.waiting.extend(payload);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// Begins a call on a stream.
    pub fn call(&mut self, stream: u32, method: &str, flags: u8) {
        let address = "localhost";
        let path = format!("/riskshare.v1.{method}");
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path.as_str()),
            (":authority", address),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ] {
            block.extend(literal(0, name, value));
        }
        self.frame(HEADERS, flags | END_HEADERS, stream, &block);
    }

    /// Makes a whole call with a message in its frame, as flow control allows. False when the server has hung up.
    pub fn ask(&mut self, stream: u32, method: &str, message: &[u8]) -> bool {
        self.call(stream, method, 0);
        let parts = message.chunks(16_000).count();
        for (number, part) in message.chunks(16_000).enumerate() {
            let flags = if number + 1 == parts { END_STREAM } else { 0 };
            self.frame(DATA, flags, stream, part);
        }
        self.send()
    }

    /// Sends what waits. False when the server has hung up.
    pub fn send(&mut self) -> bool {
        let sent = self.stream.write_all(&self.waiting).is_ok();
        self.waiting.clear();
        sent
    }

    /// Sends what waits, takes the server's settings, and waits for the window of the connection.
    pub fn agree(&mut self) {
        self.frame(SETTINGS, ACK, 0, &[]);
        self.send();
        while !kinds(&self.received).contains(&WINDOW_UPDATE) {
            assert!(self.read_more() > 0, "the server hung up");
        }
    }

    /// Reads until the server hangs up, and returns the kinds of the frames that came.
    pub fn read_to_the_end(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        kinds(&self.received)
    }

    /// Reads until the heads or trailers of so many answers have come.
    pub fn read_heads(&mut self, count: usize) {
        while count_of(HEADERS, &kinds(&self.received)) < count {
            assert!(self.read_more() > 0, "the server hung up");
        }
    }

    /// Returns how many bytes came, 0 when the server has hung up.
    fn read_more(&mut self) -> usize {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                count
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server keeps the connection")
            }
            Err(_) => 0, // Reset.
        }
    }
}

/// Returns the kinds of the frames that are whole.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = bytes {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize + 9;
        bytes = bytes.get(length..).unwrap_or_default();
    }
    kinds
}

/// Returns how many frames are of a kind.
pub fn count_of(kind: u8, kinds: &[u8]) -> usize {
    kinds.split(|other| *other == kind).count() - 1
}

/// Packs a header: 0 for one that is not to be remembered, 0x40 for one that is.
pub fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let mut packed = vec![first];
    for text in [name, value] {
        length(text.len(), &mut packed);
        packed.extend(text.as_bytes());
    }
    packed
}

/// Packs a length with a prefix of 7 bits.
fn length(length: usize, into: &mut Vec<u8>) {
    let Some(mut rest) = length.checked_sub(127) else {
        into.push(u8::try_from(length).unwrap());
        return;
    };
    into.push(127);
    while rest >= 128 {
        into.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    into.push(u8::try_from(rest).unwrap());
}
