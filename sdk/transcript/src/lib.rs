//! Transcripts of connections: what a filter is shown, and what is expected of it.
