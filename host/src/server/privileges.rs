//! Privileges are for opening what others may not open: addresses, files. For good they are given away before the first client
//! is served.

use anyhow::{Context, ensure};
use rustix::process::{getegid, geteuid};
use rustix::thread::set_no_new_privs;

use crate::config::Account;
use crate::sys::become_user;

/// Nothing that this process runs from now on has more privileges than it has, neither by a set-user-id bit nor by a file's
/// capabilities. Threads inherit it, so that this is for the first one, as long as it is alone.
///
/// # Errors
/// The kernel forbids it.
pub fn gain_no_more() -> anyhow::Result<()> {
    set_no_new_privs(true).context("cannot give up new privileges (PR_SET_NO_NEW_PRIVS)")
}

/// Becomes that user, with whose capabilities go: all of them, on all threads.
///
/// # Errors
/// This process is somebody else, and not root. Or something is left that should have gone.
pub fn give_away(account: &Account) -> anyhow::Result<()> {
    let is_it = || geteuid().as_raw() == account.user && getegid().as_raw() == account.group;
    if is_it() {
        // The service manager has seen to it; or the process before this one had given them away.
        return Ok(());
    }
    let name = &account.name;
    let own = geteuid();
    ensure!(
        own.is_root(),
        "cannot become user \"{name}\" (`[process] user`): this process is user {}'s, and only root becomes somebody else; start \
         it as root, or remove `user`",
        own.as_raw()
    );
    become_user(account.user, account.group, &account.groups)
        .with_context(|| format!("cannot become user \"{name}\" (`[process] user`)"))?;
    // What cannot be taken back is gone.
    ensure!(
        is_it() && become_user(0, 0, &[]).is_err(),
        "privileges are left after becoming user \"{name}\": this process does not serve with them"
    );
    tracing::info!(
        user = name,
        id = account.user,
        group = account.group,
        "privileges given away"
    );
    Ok(())
}
