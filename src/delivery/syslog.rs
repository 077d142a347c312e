//! A syslog collector, over TCP (RFC 6587) or TLS (RFC 5425).
//!
//! Syslog acknowledges nothing, so each blob has a connection of its own: once we have said that nothing more comes, a
//! collector ends its side when it has read everything. Only then does the blob count as taken.

use crate::delivery::sender::{Format, Receiver};
use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use crate::export::syslog::frame;
use crate::transport::tls;
use async_trait::async_trait;
use rustls::pki_types::ServerName;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A collector.
pub struct Syslog {
    /// Its host and port.
    pub address: String,
    /// How it proves who it is; nothing for TCP.
    pub tls: Option<Tls>,
    /// What a message says.
    pub format: Format,
}

/// How a collector proves who it is.
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Why TLS cannot be spoken with a collector.
#[derive(Debug, thiserror::Error)]
pub enum SyslogTlsError {
    /// The file of authorities cannot be used.
    #[error("export.syslog.ca: {0}")]
    Authorities(String),
    /// The host is no name that a certificate can have.
    #[error("export.syslog.url: the host is no name of a server")]
    Name,
}

impl Tls {
    /// Believes collectors of that host whose certificate one of the authorities of a PEM file signed.
    ///
    /// # Errors
    /// When the file or the name cannot be used.
    pub fn new(host: &str, authorities: &Path) -> Result<Self, SyslogTlsError> {
        let config = tls::believing(authorities)
            .map_err(|error| SyslogTlsError::Authorities(error.of_authorities()))?;
        let name = ServerName::try_from(host.to_owned()).map_err(|_| SyslogTlsError::Name)?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }
}

#[async_trait]
impl Receiver for Syslog {
    fn name(&self) -> Arc<str> {
        "riskshare/syslog".into()
    }

    async fn send(&self, tenant: TenantId, records: &[AlertRecord]) -> io::Result<()> {
        let frame = |record| frame(record, &self.format.line(tenant, record));
        let frames: String = records.iter().map(frame).collect();
        let stream = TcpStream::connect(&self.address).await?;
        match &self.tls {
            None => hand_over(stream, &frames).await,
            Some(tls) => hand_over(tls.connector.connect(tls.name.clone(), stream).await?, &frames).await,
        }
    }
}

async fn hand_over(mut stream: impl AsyncRead + AsyncWrite + Unpin, frames: &str) -> io::Result<()> {
    stream.write_all(frames.as_bytes()).await?;
    stream.shutdown().await?;
    // Whatever it says does not matter; that it ends does.
    let mut ignored = [0; 256];
    loop {
        match stream.read(&mut ignored).await {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            // Some end TLS without a word once they are told to.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
