//! HTTP/2 without gRPC: requests that no gRPC client would make, well-formed as frames.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use prost::Message;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// A connection, and requests made on it.
pub struct Raw {
    address: SocketAddr,
    requests: SendRequest<Bytes>,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (requests, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { address, requests }
    }

    /// Begins what a gRPC client would send to a path. The body is not over yet.
    pub fn post(&self, path: &str) -> Call<'_> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        Call { raw: self, method: Method::POST, path: path.to_owned(), headers }
    }
}

pub struct Call<'r> {
    raw: &'r Raw,
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
}

impl Call<'_> {
    pub fn with(mut self, name: &'static str, value: &[u8]) -> Self {
        let value = HeaderValue::from_bytes(value).unwrap();
        self.headers.append(HeaderName::from_static(name), value);
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Sends bytes as the whole body.
    pub async fn send(self, body: impl Into<Bytes>) -> Result<Answer, h2::Error> {
        self.send_parts(vec![body.into()], true).await
    }

    /// Sends a body and returns the answer's, of which nothing has been read.
    pub async fn send_and_not_read(self, body: impl Into<Bytes>) -> h2::RecvStream {
        let (answer, mut stream) = self.begin().await.unwrap();
        stream.send_data(body.into(), true).unwrap();
        answer.await.unwrap().into_body()
    }

    async fn begin(self) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
        let uri = Uri::builder().scheme("http").authority(self.raw.address.to_string());
        let mut request = Request::new(());
        *request.uri_mut() = uri.path_and_query(self.path).build().unwrap();
        (*request.method_mut(), *request.headers_mut()) = (self.method, self.headers);
        self.raw.requests.clone().ready().await?.send_request(request, false)
    }

    /// Sends parts of a body, and ends it or leaves the server waiting for more.
    pub async fn send_parts(self, parts: Vec<Bytes>, ends: bool) -> Result<Answer, h2::Error> {
        let (answer, mut body) = self.begin().await?;
        for part in parts {
            let _ = body.send_data(part, false); // A server may answer before it has read all.
        }
        if ends {
            let _ = body.send_data(Bytes::new(), true);
        }
        let (head, mut stream) = answer.await?.into_parts();
        let mut bytes = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data?;
            stream.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend(data);
        }
        let trailers = stream.trailers().await?.unwrap_or_default();
        drop(body);
        Ok(Answer { status: head.status, headers: head.headers, trailers, body: bytes })
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the gRPC status, from the head or the trailers.
    pub fn grpc(&self) -> Status {
        let status =
            Status::from_header_map(&self.headers).or_else(|| Status::from_header_map(&self.trailers));
        status.unwrap_or_else(|| panic!("no status in {self:?}"))
    }

    /// Returns code and reason.
    pub fn refusal(&self) -> (Code, String) {
        let status = self.grpc();
        (status.code(), crate::world::reason(&status))
    }

    /// Returns the one message of the body.
    pub fn message<M: Message + Default>(&self) -> M {
        M::decode(&self.body[5..]).unwrap()
    }
}

/// Puts a message into its frame.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed
}
