//! Uses up what its user may have of pipe memory, says so, and keeps it until it is killed.
//!
//! `fs.pipe-user-pages-soft` counts the pipes of all processes of a user. Past it the kernel still gives pipes, of one or
//! two pages, and refuses to make one larger: what a proxy meets on a crowded machine.

use std::io::{Read, Write, stdin, stdout};

use rustix::pipe::{fcntl_setpipe_size, pipe};

fn main() {
    let mut kept = Vec::new();
    while let Ok((reader, writer)) = pipe() {
        let full = fcntl_setpipe_size(&writer, 1 << 20).is_err();
        kept.push((reader, writer));
        if full || kept.len() == 4000 {
            break;
        }
    }
    println!("ready");
    stdout().flush().ok();
    stdin().read_to_end(&mut Vec::new()).ok();
}
