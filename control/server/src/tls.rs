//! TLS by files: connections are made safe before they are served, and who renews the files need
//! not stop anything.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take to agree on how to speak.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How many connections may wait to be served.
const WAITING: usize = 128;

/// A certificate with those that lead to an authority, and its key.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain (PEM), the server's own certificate first.
    pub certificate: PathBuf,
    /// The key (PEM).
    pub key: PathBuf,
}

/// Takes connections and makes them safe.
pub struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

/// What is shown to clients; replaced when the files change.
#[derive(Debug)]
struct Shown {
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl TlsListener {
    /// Reads the files, and makes safe what comes to `listener` from now on. Inside a runtime.
    pub fn start(listener: TcpListener, files: TlsFiles) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(load(&files, &provider)?));
        let shown = Arc::new(Shown { provider: Arc::clone(&provider), current });
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let mut config =
            config.with_no_client_auth().with_cert_resolver(Arc::clone(&shown) as Arc<_>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (made, ready) = mpsc::channel(WAITING);
        tokio::spawn(look(files, shown));
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), made));
        Ok(Self { ready, address })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(made) => made,
            // Nothing comes any more, which is no reason to end what is being served.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    made: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Too many files are open, as a rule: some are going to be closed.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = made.closed() => return,
        };
        let (acceptor, made) = (acceptor.clone(), made.clone());
        // Who is slow to agree keeps nobody else waiting.
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                let _ = made.send((stream, address)).await;
            }
        });
    }
}

/// Shows what the files hold once they have changed, if it is sound.
async fn look(files: TlsFiles, shown: Arc<Shown>) {
    let mut seen = ages(&files);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = ages(&files);
        if now == seen {
            continue;
        }
        seen = now;
        match load(&files, &shown.provider) {
            Ok(loaded) => {
                let mut current = shown.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(loaded);
                tracing::info!("the certificate was read anew");
            }
            Err(error) => tracing::error!(%error, "the old certificate is shown still"),
        }
    }
}

fn ages(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    let age = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).ok();
    [age(&files.certificate), age(&files.key)]
}

/// The certificate with its key, which must be one another's.
fn load(files: &TlsFiles, provider: &CryptoProvider) -> io::Result<CertifiedKey> {
    let told = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::other(format!("reading {}: {error}", path.display()))
    };
    let (certificate, key) = (&files.certificate, &files.key);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| told(certificate, &error))?;
    if chain.is_empty() {
        return Err(told(certificate, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| told(key, &error))?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|error| told(key, &error))
}
