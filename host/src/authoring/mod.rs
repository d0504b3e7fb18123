//! From an empty directory to a filter that works: what the commands of `spliceway filter` do, without their command line.
//!
//! Nothing here is on a connection's way. [`play`] asks a filter what a proxy would ask it, of a connection that is not there;
//! everything else is about files.

pub mod build;
pub mod bytes;
pub mod dev;
pub mod examine;
pub mod hello;
pub mod play;
pub mod sections;
pub mod template;
pub mod transcripts;
