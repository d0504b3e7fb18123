//! The admin interface, moved and given another token while the process runs: what is new answers before what was does not.

use std::sync::Arc;

use super::Server;
use super::thread::Command;
use crate::admin::{Admin, Interface};
use crate::config::{AdminConfig, Config, ListenAddress};
use crate::handover::name_of_kept;
use crate::in_force::InForce;
use crate::supervisor;
use crate::sys;

impl Server {
    /// `None`: it stays as it is, or is not. At the same address it keeps its socket, and nobody is refused.
    ///
    /// # Errors
    /// The address is taken, is not this machine's, or may not be bound; or there is no token where there has to be one.
    pub(super) fn prepare_interface(
        &self,
        in_force: &InForce,
        config: &Config,
    ) -> anyhow::Result<Option<Option<Interface>>> {
        let (old, new) = (&in_force.config.admin, &config.admin);
        if old == new {
            return Ok(None);
        }
        let started = new.as_ref().map(|new| self.start_interface(old.as_ref(), new));
        Ok(Some(started.transpose()?.flatten()))
    }

    /// `None` where there is nobody to take orders.
    fn start_interface(&self, old: Option<&AdminConfig>, new: &AdminConfig) -> anyhow::Result<Option<Interface>> {
        let Some(desk) = self.desk.clone() else { return Ok(None) };
        let stays = old.is_some_and(|old| old.address == new.address);
        let admin = match self.admin.as_ref().filter(|_| stays) {
            Some(before) => Admin::beside(before, new)?,
            None => Admin::bind(new)?,
        };
        admin.start(desk, Arc::clone(&self.present)).map(Some)
    }

    /// From now on it is so.
    pub(super) fn answer_by(&mut self, interface: Option<Interface>, old: &Config, new: &Config) {
        let (old, new) = (old.admin.as_ref(), new.admin.as_ref());
        let address = |config: Option<&AdminConfig>| config.map(|config| config.address.clone());
        let stays = address(old) == address(new);
        if let Some(new) = new.filter(|_| stays)
            && let ListenAddress::Unix(path) = &new.address
            && let Err(error) = sys::share(path, &new.socket_file)
        {
            tracing::warn!(%error, path = %path.display(), "`socket-file` of [admin] has no effect on the socket that stays");
        }
        if !stays {
            if let Some(old) = old {
                supervisor::forget(&[name_of_kept(&old.address.to_string())]);
            }
            if let Some(interface) = &interface {
                supervisor::keep(|| interface.offer().sockets());
            }
        }
        if interface.is_some() {
            self.workers.iter().for_each(|worker| worker.tell(Command::Remember));
        }
        self.replace_interface(interface);
    }

    /// Asks for the token that its file has now. One that cannot be used changes nothing.
    pub(super) fn renew_token(&mut self) {
        let in_force = self.present.load_full();
        let (Some(interface), Some(config)) = (&self.admin, &in_force.config.admin) else {
            return;
        };
        let renewed = match interface.has_token_of(config) {
            Ok(true) => return,
            Ok(false) => self.start_interface(Some(config), config),
            Err(error) => Err(error),
        };
        match renewed {
            Ok(interface) => {
                self.replace_interface(interface);
                tracing::info!("the token of [admin] is another one from now on");
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "the token of [admin] is rejected: the one before is asked for");
            }
        }
    }

    fn replace_interface(&mut self, interface: Option<Interface>) {
        let before = std::mem::replace(&mut self.admin, interface);
        // It may be by this one that somebody has asked for the change: he waits for an answer, and it for him.
        tokio::task::spawn_blocking(|| drop(before));
    }
}
