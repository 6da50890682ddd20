//! The service's face: HTTP, for clients, readers of repositories and workers.
//!
//! Zone: `control`, TRUSTED. It translates and decides nothing: what happens next is
//! `control/flow`'s, who may do what is `control/access`'s, and what is true is the store's.
//!
//! Begin reading in `routes.rs`: every route stands there, with who may use it.

mod api;
mod bodies;
mod guard;
mod hooks;
mod live;
mod once;
mod openapi;
mod pages;
mod peer;
mod plain;
mod problem;
mod rates;
mod repos;
mod routes;
mod service;
mod tls;
mod traced;
mod types;
mod workers;

pub use openapi::document;
pub use peer::{Connection, Network, NetworkError};
pub use plain::PlainListener;
pub use rates::RateCaps;
pub use routes::{About, Route, router, routes};
pub use service::{Service, ServiceSettings};
pub use tls::{TlsFiles, TlsListener};
