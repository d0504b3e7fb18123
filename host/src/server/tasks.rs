//! What an operator asks of the main loop, beside to reload and to end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot::Sender as Reply;

use super::orders::Planned;
use super::{Server, check};
use crate::config::{self, Config};
use crate::in_force::InForce;
use crate::reload::{Amendment, Plan, Unfit};
use crate::upstream::ServerSeen;

/// Something to do between two reloads, and to whom to say what came of it.
pub enum Task {
    /// To say what a reload would do.
    Rehearse(Reply<Planned>),
    /// To say what would change where this text is in force.
    Compare(Text, Reply<Planned>),
    /// To serve something otherwise than the file has it. The answer is what has changed.
    Amend(Amendment, Reply<Result<Plan, Unfit>>),
}

/// A configuration that lies in somebody's file.
#[derive(Debug, Clone)]
pub struct Text {
    /// Absolute: where relative paths in it start, and what messages call it.
    pub path: PathBuf,
    pub text: String,
}

impl Server {
    /// Whoever waits for the answer may have gone.
    pub(super) async fn carry_out(&mut self, task: Task, file: Option<&Path>) {
        match task {
            Task::Rehearse(reply) => _ = reply.send(self.rehearse(file).await),
            Task::Compare(text, reply) => _ = reply.send(self.compare(file, text).await),
            Task::Amend(amendment, reply) => _ = reply.send(self.amend(amendment).await),
        }
    }

    /// What [`reload`](Self::reload) would do. Nothing changes: see [`check::rehearse`].
    async fn rehearse(&self, file: Option<&Path>) -> Planned {
        let Some(file) = file else { return Ok(Plan::default()) };
        let config = config::load(file).map_err(|error| vec![error.to_string()])?;
        let (in_force, engine) = (self.present.load_full(), self.engine.clone());
        let (config, plan) = plan(&in_force, &config);
        let rehearsed = tokio::task::spawn_blocking(move || check::rehearse(&in_force, &config, engine)).await;
        let problems = rehearsed.unwrap_or_else(|panicked| vec![panicked.to_string()]);
        match problems.is_empty() {
            true => Ok(plan),
            false => Err(problems),
        }
    }

    /// What would change. Of the files that the text names none is looked at: whoever asks can do that himself.
    async fn compare(&self, file: Option<&Path>, text: Text) -> Planned {
        let in_force = self.present.load_full();
        let own = file.map(Path::to_owned);
        let compared = tokio::task::spawn_blocking(move || {
            let path = as_own(own.as_deref(), text.path);
            let config = config::parse(&path, &text.text).map_err(|problems| vec![problems.to_string()])?;
            Ok(plan(&in_force, &config).1)
        });
        compared
            .await
            .unwrap_or_else(|panicked| Err(vec![panicked.to_string()]))
    }

    /// Everything goes on as it is where it cannot be served.
    async fn amend(&mut self, amendment: Amendment) -> Result<Plan, Unfit> {
        let in_force = self.present.load_full();
        let overrides = in_force
            .overrides
            .with(&in_force.file, &amendment)
            .map_err(|unfit| explained(unfit, &in_force, &amendment))?;
        let fate = match &amendment {
            Amendment::RemoveServer {
                upstream,
                fate: Some(fate),
                ..
            } => Some((&**upstream, *fate)),
            _ => None,
        };
        let put = self.put_in_force(Arc::clone(&in_force.file), overrides, fate);
        let plan = put.await.map_err(Unfit::Wrong)?;
        for change in &plan.changes {
            tracing::info!(%change, "changed by an operator");
        }
        Ok(plan)
    }
}

/// A server that a name has led to is none of the file's, and still is there.
fn explained(unfit: Unfit, in_force: &InForce, amendment: &Amendment) -> Unfit {
    let (Unfit::Missing { what: "server", .. }, Amendment::RemoveServer { upstream, address, .. }) =
        (&unfit, amendment)
    else {
        return unfit;
    };
    let seen = in_force.upstreams.find(upstream).map(|upstream| upstream.seen());
    let is_it = |server: &ServerSeen| server.address == *address;
    match seen.is_some_and(|seen| seen.servers.iter().any(is_it)) {
        true => Unfit::Conflict {
            error: format!("`{address}` is an address of a name, which would bring it back"),
            hint: "disable it; or remove the name, as GET /v1/config has it",
        },
        false => unfit,
    }
}

/// What is to be in force where that is the file's, and what it changes.
fn plan(in_force: &InForce, file: &Config) -> (Config, Plan) {
    let overrides = in_force.overrides.carried(&in_force.file, file);
    let config = overrides.onto(file);
    let plan = Plan::between(&in_force.config, &config).keeping(&overrides);
    (config, plan)
}

/// A file beside this process's own is called as that is: the paths in both are compared as they are written then.
fn as_own(own: Option<&Path>, other: PathBuf) -> PathBuf {
    let folder = |path: &Path| std::path::absolute(path).ok()?.parent()?.canonicalize().ok();
    let same = own.filter(|own| folder(own).is_some_and(|own| folder(&other) == Some(own)));
    match (same, other.file_name()) {
        (Some(own), Some(name)) => own.with_file_name(name),
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_the_own_one_is_called_alike() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("spliceway.toml");
        let through = folder.path().join(".").join("new.toml");
        assert_eq!(as_own(Some(&own), through), folder.path().join("new.toml"));
        let elsewhere = PathBuf::from("/nowhere/new.toml");
        assert_eq!(as_own(Some(&own), elsewhere.clone()), elsewhere);
        assert_eq!(as_own(None, elsewhere.clone()), elsewhere);
    }
}
