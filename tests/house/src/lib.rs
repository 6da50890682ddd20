//! What people forget, as tests: arrows between zones, sizes of files and functions, links in
//! documents, stale generated pages. Zone: tests; nothing links this.
