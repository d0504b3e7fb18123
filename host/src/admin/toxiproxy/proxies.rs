//! What a proxy is here: a listener of the configuration, and the toxics that it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::failed::Failed;
use super::toxic::{ChangedToxic, NewToxic, Toxic};
use crate::config::{Config, FaultConfig, FaultKind, TreatmentConfig};
use crate::flow::Direction;
use crate::in_force::{Listening, Present};
use crate::server::Desk;
use crate::treatment::{Measure, Measures, Scope};

pub struct Proxies {
    desk: Desk,
    present: Present,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a listener's toxics: the measures that they are. Those of which are gone that somebody took back.
#[derive(Default)]
struct Known {
    toxics: Vec<(String, u64)>,
    /// It is not enabled because of this.
    down: Option<u64>,
}

/// As it is shown.
#[derive(Debug, Serialize)]
pub struct Proxy {
    pub name: String,
    pub listen: String,
    pub upstream: String,
    pub enabled: bool,
    pub toxics: Vec<Toxic>,
}

/// As it is asked for.
#[derive(Debug, Deserialize)]
pub struct NewProxy {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub listen: String,
    #[serde(default)]
    pub upstream: String,
    pub enabled: Option<bool>,
}

impl Proxies {
    pub fn new(desk: Desk, present: Present) -> Self {
        Self {
            desk,
            present,
            known: Mutex::default(),
        }
    }

    pub fn all(&self) -> BTreeMap<String, Proxy> {
        let known = self.known();
        let in_force = self.present.load();
        let shown = in_force.listeners.iter().map(|listening| {
            let proxy = self.shown(&known, &in_force.config, listening);
            (proxy.name.clone(), proxy)
        });
        shown.collect()
    }

    /// # Errors
    /// There is none of that name.
    pub fn one(&self, name: &str) -> Result<Proxy, Failed> {
        let in_force = self.present.load();
        let listening = in_force.listener(name).ok_or_else(Failed::no_proxy)?;
        Ok(self.shown(&self.known(), &in_force.config, listening))
    }

    /// Nothing can be created: what there is exists already.
    ///
    /// # Errors
    /// Always.
    pub fn create(&self, new: &NewProxy) -> Failed {
        match checked(new).and_then(|()| self.one(&new.name)) {
            Ok(_) => Failed::proxy_exists(),
            Err(failed) if failed == Failed::no_proxy() => Failed::configured(&new.name, "add the listener"),
            Err(failed) => failed,
        }
    }

    /// Enables those that there are.
    ///
    /// # Errors
    /// One of them is not there as it is described; then nothing changes.
    pub fn populate(&self, wanted: &[NewProxy]) -> Result<Vec<Proxy>, Failed> {
        for new in wanted {
            checked(new)?;
            match self.one(&new.name) {
                Ok(proxy) if is_as_described(&proxy, new) => {}
                Ok(_) => return Err(Failed::configured(&new.name, "change the listener")),
                Err(_) => return Err(Failed::configured(&new.name, "add the listener")),
            }
        }
        let populated = wanted.iter().map(|new| {
            self.enable(&new.name, new.enabled.unwrap_or(true))?;
            self.one(&new.name)
        });
        populated.collect()
    }

    /// # Errors
    /// There is none of that name, or it is to be another one.
    pub fn update(&self, name: &str, wanted: &NewProxy) -> Result<Proxy, Failed> {
        let proxy = self.one(name)?;
        if !is_as_described(&proxy, wanted) {
            return Err(Failed::configured(name, "change the listener"));
        }
        if let Some(enabled) = wanted.enabled {
            self.enable(name, enabled)?;
        }
        self.one(name)
    }

    /// # Errors
    /// Always: it stays.
    pub fn delete(&self, name: &str) -> Failed {
        match self.one(name) {
            Ok(_) => Failed::configured(name, "remove the listener"),
            Err(failed) => failed,
        }
    }

    /// All are enabled, and none has toxics.
    pub fn reset(&self) {
        let known = std::mem::take(&mut *self.known());
        for known in known.into_values() {
            known.measures().for_each(|id| _ = self.measures().remove(id));
        }
        tracing::info!("toxics are reset");
    }

    fn enable(&self, name: &str, enabled: bool) -> Result<(), Failed> {
        let mut known = self.known();
        let known = known.entry(name.to_owned()).or_default();
        let is_down = known.down.is_some_and(|id| self.measure(id).is_some());
        if enabled {
            known.down.take().map(|id| self.measures().remove(id));
        } else if !is_down {
            let down = FaultConfig {
                direction: None,
                ..FaultConfig::new(FaultKind::Down, Direction::Down)
            };
            known.down = Some(self.take(name, down)?);
        }
        tracing::info!(listener = name, enabled, "a proxy is switched");
        Ok(())
    }

    /// # Errors
    /// There is no such proxy.
    pub fn toxics(&self, proxy: &str) -> Result<Vec<Toxic>, Failed> {
        self.one(proxy).map(|proxy| proxy.toxics)
    }

    /// # Errors
    /// There is no such proxy, or no such toxic.
    pub fn toxic(&self, proxy: &str, name: &str) -> Result<Toxic, Failed> {
        let mut toxics = self.toxics(proxy)?.into_iter();
        toxics.find(|toxic| toxic.name == name).ok_or_else(Failed::no_toxic)
    }

    /// # Errors
    /// There is no such proxy; the toxic is there already, or is none.
    pub fn add(&self, proxy: &str, new: &NewToxic) -> Result<Toxic, Failed> {
        self.one(proxy)?;
        let (fault, name) = (new.fault()?, new.name());
        let mut known = self.known();
        let known = known.entry(proxy.to_owned()).or_default();
        known.toxics.retain(|(_, id)| self.measure(*id).is_some());
        if known.toxics.iter().any(|(known, _)| *known == name) {
            return Err(Failed::toxic_exists());
        }
        let shown = Toxic::of(&name, &fault);
        tracing::info!(listener = proxy, toxic = name, kind = shown.kind, "a toxic is added");
        known.toxics.push((name, self.take(proxy, fault)?));
        Ok(shown)
    }

    /// # Errors
    /// There is no such proxy, or no such toxic; or it would be none.
    pub fn change(&self, proxy: &str, name: &str, change: &ChangedToxic) -> Result<Toxic, Failed> {
        let id = self.find(proxy, name)?;
        let before = self.measure(id).ok_or_else(Failed::no_toxic)?;
        let before = before.regimen.config().faults.first().ok_or_else(Failed::no_toxic)?;
        let fault = change.of(before)?;
        let shown = Toxic::of(name, &fault);
        let treatment = treatment(fault);
        self.measures().replace(id, treatment).ok_or_else(Failed::no_toxic)?;
        tracing::info!(listener = proxy, toxic = name, "a toxic is changed");
        Ok(shown)
    }

    /// # Errors
    /// There is no such proxy, or no such toxic.
    pub fn remove(&self, proxy: &str, name: &str) -> Result<(), Failed> {
        let id = self.find(proxy, name)?;
        if let Some(known) = self.known().get_mut(proxy) {
            known.toxics.retain(|(_, known)| *known != id);
        }
        self.measures().remove(id).ok_or_else(Failed::no_toxic)?;
        tracing::info!(listener = proxy, toxic = name, "a toxic is removed");
        Ok(())
    }

    fn find(&self, proxy: &str, name: &str) -> Result<u64, Failed> {
        self.one(proxy)?;
        let known = self.known();
        let toxics = known
            .get(proxy)
            .map(|known| known.toxics.as_slice())
            .unwrap_or_default();
        let found = toxics.iter().find(|(known, _)| known == name);
        found.map(|(_, id)| *id).ok_or_else(Failed::no_toxic)
    }

    fn shown(&self, known: &HashMap<String, Known>, config: &Config, listening: &Listening) -> Proxy {
        let name = &*listening.listener.name;
        let known = known.get(name);
        let toxics = known.map(|known| known.toxics.as_slice()).unwrap_or_default();
        let toxics = toxics.iter().filter_map(|(name, id)| {
            let measure = self.measure(*id)?;
            Some(Toxic::of(name, measure.regimen.config().faults.first()?))
        });
        let (up, down): (Vec<_>, Vec<_>) = toxics.partition(|toxic| toxic.stream == "upstream");
        let is_down = known.and_then(|known| known.down);
        Proxy {
            name: name.to_owned(),
            listen: listening.post.address().to_string(),
            upstream: upstream(config, name),
            enabled: is_down.and_then(|id| self.measure(id)).is_none(),
            toxics: up.into_iter().chain(down).collect(),
        }
    }

    fn take(&self, listener: &str, fault: FaultConfig) -> Result<u64, Failed> {
        let scope = Scope {
            listener: Some(listener.to_owned()),
            ..Scope::default()
        };
        let added = self.measures().add(scope, treatment(fault), None);
        added
            .map(|measure| measure.id)
            .map_err(|error| Failed::too_many(error.to_string()))
    }

    fn measure(&self, id: u64) -> Option<Arc<Measure>> {
        self.measures().all().into_iter().find(|measure| measure.id == id)
    }

    fn measures(&self) -> &Measures {
        self.desk.measures()
    }

    /// Returns when what was asked for holds for every byte that comes. Where a worker is busy, it holds a little later.
    pub async fn settled(&self) {
        let _ = self.desk.settled().await;
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.reset();
    }
}

impl Known {
    fn measures(&self) -> impl Iterator<Item = u64> {
        self.toxics.iter().map(|(_, id)| *id).chain(self.down)
    }
}

fn treatment(fault: FaultConfig) -> TreatmentConfig {
    TreatmentConfig {
        faults: vec![fault],
        ..TreatmentConfig::default()
    }
}

/// Where its connections go that no route and no filter decides about: one server, as Toxiproxy has it. A name where there are
/// several.
fn upstream(config: &Config, listener: &str) -> String {
    let listener = config.listeners.iter().find(|config| config.name == listener);
    let Some(name) = listener.and_then(|config| config.upstream.as_ref()) else {
        return String::new();
    };
    let upstream = config.upstreams.iter().find(|config| config.name == *name);
    match upstream.map(|config| config.servers.as_slice()) {
        Some([one]) => one.place.to_string(),
        _ => name.clone(),
    }
}

fn checked(new: &NewProxy) -> Result<(), Failed> {
    match (new.name.is_empty(), new.upstream.is_empty()) {
        (true, _) => Err(Failed::missing("name")),
        (false, true) => Err(Failed::missing("upstream")),
        (false, false) => Ok(()),
    }
}

/// What is not said is as it is; a port that the kernel is to choose is whichever it has chosen.
fn is_as_described(proxy: &Proxy, wanted: &NewProxy) -> bool {
    let same = |is: &str, wanted: &str| wanted.is_empty() || normal(is) == normal(wanted);
    let any_port = wanted.listen.ends_with(":0");
    (any_port || same(&proxy.listen, &wanted.listen)) && same(&proxy.upstream, &wanted.upstream)
}

/// Clients say `localhost` as often as they say what it is.
fn normal(address: &str) -> String {
    match address.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => address.to_owned(),
    }
}
