//! Connections as they come, without TLS.

use std::io;
use std::net::SocketAddr;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};

/// Takes connections. What is written goes out at once: where an answer is two pieces, the second
/// would wait for the other side to say that it has the first, which it does after 40 ms.
pub struct PlainListener(TcpListener);

impl PlainListener {
    /// Of what comes to that.
    pub fn new(listener: TcpListener) -> Self {
        Self(listener)
    }
}

impl Listener for PlainListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection stays as it is");
        }
        (stream, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
