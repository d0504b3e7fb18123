//! What a service manager is told, and what it has for this process: systemd's protocol (sd_notify(3), sd_listen_fds(3)). Where
//! there is none, nobody is told anything.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, ensure};
use rustix::net::sockopt;
use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};

use crate::handover::{Described, Inherited, inherit, is_name_of_kept, name_of_kept};
use crate::sys::left_for_us;

/// Keeps the sockets that a service manager has opened, or kept from the process before, until their listeners ask for them.
/// To be called before this process opens anything that lasts.
///
/// # Errors
/// One of them is no listening socket.
pub fn inherit_sockets() -> anyhow::Result<()> {
    let given = sd_notify::listen_fds_with_names().context("LISTEN_FDS or LISTEN_FDNAMES makes no sense")?;
    for (number, name) in given {
        let socket = left_for_us(number)
            .with_context(|| format!("LISTEN_FDS promises descriptor {number} (\"{name}\"), which is not open"))?;
        let listens = sockopt::socket_acceptconn(&socket).unwrap_or(false);
        ensure!(
            listens,
            "descriptor {number} (\"{name}\") of the service manager's is no listening socket: expected ListenStream= with Accept=no"
        );
        inherit([Inherited {
            socket,
            name,
            asked: None,
        }]);
    }
    Ok(())
}

/// This process serves, in the place of whoever did before.
pub fn serving(listeners: usize) {
    let status = format!("serving on {listeners} listeners");
    tell(&[
        NotifyState::MainPid(std::process::id()),
        NotifyState::Ready,
        NotifyState::Status(&status),
    ]);
}

/// It still does, and has begun to read files again.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It has read them.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// It accepts nothing more, and nobody else does.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("connections may finish")]);
}

/// Gives sockets to be kept while this process is restarted (FileDescriptorStoreMax=): who connects meanwhile waits for the
/// next one. It finds them by their addresses. They are copied only where there is somebody to keep them.
pub fn keep(sockets: impl FnOnce() -> io::Result<Vec<(Described, OwnedFd)>>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let sockets = sockets().unwrap_or_else(|error| {
        // It serves: that it could not be restarted without a gap is no reason to end.
        tracing::warn!(%error, "the service manager keeps no sockets");
        Vec::new()
    });
    for (described, socket) in sockets {
        let name = name_of_kept(&described.asked);
        let state = [NotifyState::FdStore, NotifyState::FdName(&name)];
        if let Err(error) = sd_notify::notify_with_fds(&state, &[socket.as_fd()]) {
            tracing::warn!(%error, of = described.name, "the service manager does not keep the socket");
        }
    }
}

/// Nobody listens on these any more: it need not keep what is called so.
pub fn forget(names: &[String]) {
    for name in names.iter().filter(|name| is_name_of_kept(name)) {
        tell(&[NotifyState::FdStoreRemove, NotifyState::FdName(name)]);
    }
}

/// Tells the service manager again and again that this process lives, as long as it `answers`; for ever. One that does not
/// answer is not spoken for, and is restarted (WatchdogSec=).
pub async fn guard(answers: impl AsyncFn() -> bool) {
    let Some(longest) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    // Two of them may be late.
    let every = longest / 3;
    loop {
        match timeout(every, answers()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) | Err(_) => {
                tracing::error!(within = ?every, "a worker does not answer: the service manager is not told that all is well");
            }
        }
        sleep(every.max(Duration::from_millis(1))).await;
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager is not told");
    }
}
