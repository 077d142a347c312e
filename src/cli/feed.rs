//! Raw audit records on their way to a server, batch by batch.

use crate::cli::connection::Connection;
use crate::cli::failure::is_unavailable;
use crate::pb;
use crate::pb::ingest_service_client::IngestServiceClient;
use std::ops::Range;
use std::time::Duration;
use tonic::{Code, Status};

/// The most records of a batch. Small enough that little is repeated when a call fails.
const RECORDS_MAX: usize = 1_000;
/// The most bytes of a batch: an ingest message may have 16 MiB, of which the rest is room for what is around the
/// records.
const BYTES_MAX: usize = 15 * 1024 * 1024;
/// The first pause before a call is repeated; each further one is twice as long, up to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// Sends a tenant's records. What fails because the server cannot answer now is sent again: a record that was taken
/// in the first time is a duplicate the second.
pub struct Feed {
    client: IngestServiceClient<Connection>,
    tenant: String,
    retries: u32,
}

impl Feed {
    /// Returns a feed that repeats a call at most so many times.
    #[must_use]
    pub fn new(connection: Connection, tenant: String, retries: u32) -> Self {
        Self { client: IngestServiceClient::new(connection), tenant, retries }
    }

    /// Sends one batch and returns what became of it.
    ///
    /// # Errors
    /// The refusal, or what came instead of an answer to the last attempt.
    pub async fn send(&mut self, records: &[&str]) -> Result<pb::IngestActivitiesResponse, Status> {
        let mut pause = PAUSE_FIRST;
        for _ in 0..self.retries {
            match self.try_send(records).await {
                Err(status) if may_pass(&status) => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                settled => return settled,
            }
        }
        self.try_send(records).await
    }

    async fn try_send(&mut self, records: &[&str]) -> Result<pb::IngestActivitiesResponse, Status> {
        let request = pb::IngestActivitiesRequest {
            tenant_id: self.tenant.clone(),
            activities: Vec::new(),
            raw_records: records.iter().map(|record| (*record).to_owned()).collect(),
        };
        Ok(self.client.ingest_activities(request).await?.into_inner())
    }
}

fn may_pass(status: &Status) -> bool {
    is_unavailable(status) || status.code() == Code::ResourceExhausted
}

/// Cuts records, given by their sizes in bytes, into batches. A record that is larger than a batch may be is one by
/// itself: the server says what is wrong with it.
#[must_use]
pub fn batches(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, size) in sizes.iter().enumerate() {
        if index > start && (index - start == RECORDS_MAX || bytes + size > BYTES_MAX) {
            batches.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_in_records_and_in_bytes() {
        assert!(batches(&[]).is_empty());
        assert_eq!(batches(&vec![10; 2_001]), [0..1_000, 1_000..2_000, 2_000..2_001]);
        assert_eq!(batches(&[BYTES_MAX, 1, BYTES_MAX - 1, 1]), [0..1, 1..3, 3..4]);
        assert_eq!(batches(&[BYTES_MAX + 1, 1]), [0..1, 1..2]);
    }
}
