//! Calls as bytes: what no generated client would send, and what exactly came back.

use crate::world::{World, reason};
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

#[derive(Clone, Copy, Default)]
struct Verbatim;

impl Codec for Verbatim {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.put(item);
        Ok(())
    }
}

impl Decoder for Verbatim {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buf.copy_to_bytes(buf.remaining())))
    }
}

/// Sends bytes to a method, such as `AlertEnrichmentService/EnrichAlert`.
pub async fn send(world: &World, method: &str, bytes: Vec<u8>) -> Result<Response<Bytes>, Status> {
    send_over(&world.channel, method, bytes).await
}

/// Sends bytes to a method of whoever listens there.
pub async fn send_over(channel: &Channel, method: &str, bytes: Vec<u8>) -> Result<Response<Bytes>, Status> {
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/riskshare.v1.{method}").parse().unwrap();
    client.unary(Request::new(Bytes::from(bytes)), path, Verbatim).await
}

/// Everything that a caller can see of an answer but when it came.
#[derive(PartialEq, Eq, Debug)]
pub struct Seen {
    code: tonic::Code,
    message: String,
    details: Bytes,
    metadata: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

pub async fn seen(world: &World, method: &str, request: &impl Message) -> Seen {
    seen_bytes(world, method, request.encode_to_vec()).await
}

pub async fn seen_bytes(world: &World, method: &str, request: Vec<u8>) -> Seen {
    seen_over(&world.channel, method, request).await
}

pub async fn seen_over(channel: &Channel, method: &str, request: Vec<u8>) -> Seen {
    let plain = |metadata: &MetadataMap| {
        let headers = metadata.clone().into_headers();
        let mut all: Vec<_> = headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        all.sort();
        all
    };
    match send_over(channel, method, request).await {
        Ok(answer) => Seen {
            code: tonic::Code::Ok,
            message: String::new(),
            details: Bytes::new(),
            metadata: plain(answer.metadata()),
            body: answer.into_inner(),
        },
        Err(refusal) => Seen {
            code: refusal.code(),
            message: refusal.message().to_owned(),
            details: Bytes::copy_from_slice(refusal.details()),
            metadata: plain(refusal.metadata()),
            body: Bytes::new(),
        },
    }
}

impl Seen {
    pub fn is_ok(&self) -> bool {
        self.code == tonic::Code::Ok
    }

    pub fn code(&self) -> tonic::Code {
        self.code
    }

    /// Returns the reason of a refusal.
    pub fn reason(&self) -> String {
        let details = self.details.clone();
        reason(&Status::with_details(self.code, self.message.as_str(), details))
    }

    /// Says whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Says whether the text stands anywhere in it.
    pub fn holds(&self, text: &str) -> bool {
        let found = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        found(&self.body)
            || found(&self.details)
            || self.message.contains(text)
            || self.metadata.iter().any(|(_, value)| found(value))
    }
}
