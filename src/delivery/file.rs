//! A file that gets one line for each record.

use crate::delivery::sender::{Format, Receiver};
use crate::domain::content::AlertRecord;
use crate::domain::ids::TenantId;
use async_trait::async_trait;
use std::io::Result;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

/// A file. It is opened for each blob, so that whatever rotates it can.
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What a line is.
    pub format: Format,
}

#[async_trait]
impl Receiver for File {
    fn name(&self) -> Arc<str> {
        "riskshare/file".into()
    }

    async fn send(&self, tenant: TenantId, records: &[AlertRecord]) -> Result<()> {
        let mut lines = String::new();
        for record in records {
            lines.push_str(&self.format.line(tenant, record));
            lines.push('\n');
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        options.mode(0o600); // It holds clear names.
        let mut file = options.open(&self.path).await?;
        file.write_all(lines.as_bytes()).await?;
        file.sync_all().await
    }
}
