//! The service as people and programs meet it: routes, pages, hostile names, a browser.
//!
//! One program, so that what all of them need is linked once.

mod browser;
mod evidence;
mod hosted;
mod hostile;
mod isolation;
mod kit;
mod numbers;
mod routes;
mod sweeping;
