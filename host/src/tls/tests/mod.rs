//! Sessions between us and rustls with its buffers, over loopback.

mod bytes;
mod handshakes;
mod openssl;
mod owned;
mod peers;
mod reloading;
mod wrong_files;
