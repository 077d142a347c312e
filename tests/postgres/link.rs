//! A way to a server that can be cut so that only the server hears of it.

use super::folder;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// A socket behind which another one is.
pub struct Link {
    folder: TempDir,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Link {
    /// Lays a way to the server whose socket is in a folder.
    pub fn to(server: PathBuf) -> Self {
        let folder = folder();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let is_cut = Arc::new(watch::Sender::new(false));
        let cut = is_cut.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.join(".s.PGSQL.5432"), cut.clone()));
            }
        });
        Self { folder, is_cut }
    }

    /// Returns the folder of the socket.
    pub fn folder(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Ends all connections at the server. The client hears nothing any more.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Ends them at the client, too, and carries new ones.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn carry(mut client: UnixStream, server: PathBuf, mut cut: watch::Receiver<bool>) {
    let carrying = async {
        let mut server = UnixStream::connect(server).await?;
        copy_bidirectional(&mut client, &mut server).await
    };
    // The server's end is dropped here.
    let is_cut = tokio::select! {
        _ = carrying => false,
        _ = cut.wait_for(|is_cut| *is_cut) => true,
    };
    if is_cut {
        let _ = cut.wait_for(|is_cut| !*is_cut).await;
    }
}
