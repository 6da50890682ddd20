use std::time::Duration;

/// How patient, how bold and how wide a [`crate::Fetcher`] is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files that are fetched at one time.
    pub parallel: usize,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long a server may send nothing.
    pub stall_timeout: Duration,
    /// Bytes a second that a place must keep up on the whole, beyond `stall_timeout` once: a
    /// server that drips one byte at a time never stalls and never ends.
    pub slowest: u64,
    /// Redirects that are followed for one request.
    pub redirects: usize,
    /// Places that are tried for one file, of those that it has.
    pub places: usize,
    /// How often all of them are tried, as long as one of them might do better next time.
    pub rounds: u32,
    /// How long to wait before the second round; twice as long before each one after it.
    pub backoff: Duration,
    /// The most bytes of a file whose size nobody announced.
    pub unannounced_cap: u64,
    /// Certificates (PEM) of authorities that are believed besides those of the system.
    pub authorities: Vec<Vec<u8>>,
    /// Whether only addresses of the public internet may be asked: for a service whose users
    /// name the places. A proxy resolves names itself and must keep to this by its own rules.
    pub public_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parallel: 8,
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            slowest: 1000,
            redirects: 5,
            places: 10,
            rounds: 3,
            backoff: Duration::from_millis(500),
            unannounced_cap: 1 << 30,
            authorities: Vec::new(),
            public_only: false,
        }
    }
}

impl Options {
    /// How long one place may take for `size` bytes.
    pub(crate) fn deadline(&self, size: u64) -> Duration {
        self.connect_timeout
            + self.stall_timeout
            + Duration::from_secs(size.checked_div(self.slowest).unwrap_or(u64::MAX / 4))
    }
}
