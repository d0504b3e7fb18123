//! Another configuration takes the place of the one in force: everything that can fail is prepared first, and then nothing
//! fails any more. What has not changed is not touched.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context;

use super::check::check_captures;
use super::filters::load_filter;
use super::listeners::{Before, Common, Made, Shared, tells_servers};
use super::orders::Planned;
use super::thread::Command;
use super::{Server, hand_out, say_listening, say_served};
use crate::admin::{Interface, toxiproxy};
use crate::artifact::Library;
use crate::config::{self, Config, ListenAddress, ListenerConfig, ListenerSocket, OnChange};
use crate::filter::{Engine, Filter, Observers, Reloaded, Revision};
use crate::handover::{Offer, name_of_kept};
use crate::in_force::{InForce, Listening};
use crate::limit::Limiter;
use crate::listener;
use crate::observe::AccessLog;
use crate::reload::{Overrides, Plan};
use crate::supervisor;
use crate::sys::{Peer, change_listening, watch_otherwise};
use crate::upstream::{self, Changes};
use crate::{http, metrics, sockets};

impl Server {
    /// Reads the configuration again and serves it, if it can be served; what was wrong with it is said.
    ///
    /// # Errors
    /// Everything that keeps it from being served; then all is as it was.
    pub async fn reload(&mut self, file: &Path) -> Planned {
        let began = Instant::now();
        let loaded = config::load(file).map_err(|error| vec![error.to_string()]);
        let applied = match loaded {
            Ok(config) => self.apply(config).await,
            Err(problems) => Err(problems),
        };
        self.present.load().vitals.loaded(applied.is_ok());
        match applied {
            Ok(plan) => {
                for change in &plan.changes {
                    tracing::info!(%change, "configuration");
                }
                let (changes, elapsed_ms) = (plan.changes.len(), began.elapsed().as_millis());
                tracing::info!(changes, elapsed_ms, "configuration reloaded");
                Ok(plan)
            }
            Err(problems) => {
                let file = file.display();
                for error in &problems {
                    tracing::error!(%file, error, "configuration rejected: the one before serves on");
                }
                Err(problems)
            }
        }
    }

    /// Serves this configuration from now on. Live connections go on, where the operator does not want it otherwise.
    ///
    /// # Errors
    /// Everything that keeps it from being served; then all is as it was.
    pub async fn apply(&mut self, config: Config) -> Planned {
        let in_force = self.present.load_full();
        let overrides = in_force.overrides.carried(&in_force.file, &config);
        self.put_in_force(Arc::new(config), overrides, None).await
    }

    /// The same, with these on top of the file's; and with this fate for the connections of servers that an upstream loses.
    pub(super) async fn put_in_force(
        &mut self,
        file: Arc<Config>,
        overrides: Overrides,
        fate: Option<(&str, OnChange)>,
    ) -> Planned {
        let in_force = self.present.load_full();
        let config = overrides.onto(&file);
        let plan = Plan::between(&in_force.config, &config).keeping(&overrides);
        let overrides = Arc::new(overrides);
        if plan.is_empty() {
            self.present.store(Arc::new(InForce {
                file,
                overrides,
                ..InForce::clone(&in_force)
            }));
            return Ok(plan);
        }
        let mut prepared = self.prepare(&in_force, &config).await?;
        if let Some((upstream, fate)) = fate {
            prepared.changes.end_by(upstream, fate);
        }
        self.commit(config, prepared, (file, overrides));
        Ok(plan)
    }

    /// Everything that can fail, all of it, so that whoever has made mistakes hears of all of them.
    async fn prepare(&self, in_force: &InForce, config: &Config) -> Result<Prepared, Vec<String>> {
        let old = &in_force.config;
        let mut problems = check_captures(config);
        let engine = match (&self.engine, config.filters.is_empty()) {
            (Some(engine), _) => Some(engine.clone()),
            (None, true) => None,
            (None, false) => note(Engine::new(), &mut problems),
        };
        let library = match (&old.registries, &old.trust) == (&config.registries, &config.trust) {
            true => Arc::clone(&in_force.library),
            false => Arc::new(Library::new(config)),
        };
        let upstreams = match upstream::prepare(&in_force.upstreams, old, config) {
            Ok(changes) => Some(changes),
            Err(errors) => {
                problems.extend(errors.iter().map(|error| format!("{error:#}")));
                None
            }
        };
        problems.extend(sockets::of_upstreams(Some(old), config));
        let filters = self
            .prepare_filters(in_force, config, engine.as_ref(), &library, &mut problems)
            .await;
        let mut narrators = Vec::new();
        let observers = match &self.shared.observers {
            None if !config.filters.is_empty() => note(Observers::start(), &mut problems).map(|(observers, thread)| {
                narrators.push(thread);
                observers
            }),
            present => present.clone(),
        };
        let access_log = match old.access_log == config.access_log {
            true => self.shared.access_log.clone(),
            false => {
                let started = note(AccessLog::start(config.access_log.as_ref()), &mut problems).flatten();
                started.map(|(log, thread)| {
                    narrators.push(thread);
                    log
                })
            }
        };
        let metrics = match (&config.metrics, old.metrics == config.metrics) {
            (_, true) => None,
            (None, false) => Some(None),
            (Some(address), false) => {
                let started = metrics::bind(address).and_then(|bound| {
                    let offer = bound.offer().clone();
                    Ok((metrics::serve(bound, Arc::clone(&self.present))?, offer))
                });
                Some(note(started, &mut problems))
            }
        };
        let toxiproxy = match (&config.toxiproxy, old.toxiproxy == config.toxiproxy) {
            (_, true) => None,
            (None, false) => Some(None),
            (Some(address), false) => {
                let started = self.desk.clone().map(|desk| {
                    let bound = toxiproxy::bind(address)?;
                    let offer = bound.offer().clone();
                    Ok((toxiproxy::serve(bound, desk, Arc::clone(&self.present))?, offer))
                });
                Some(note(started.transpose(), &mut problems).flatten())
            }
        };
        let admin = self.prepare_interface(in_force, config);
        let admin = note(admin, &mut problems).flatten();
        let limiter = match old.limits == config.limits {
            true => self.shared.limiter.clone(),
            false => Limiter::after(self.shared.limiter.as_deref(), config.limits).map(Arc::new),
        };
        let Some(changes) = upstreams else { return Err(problems) };
        let shared = Shared {
            limiter,
            observers,
            access_log,
            own: Arc::clone(&self.shared.own),
        };
        let all_filters: Vec<_> = filters.iter().map(|(filter, _)| Arc::clone(filter)).collect();
        let common = Common {
            filters: &all_filters,
            upstreams: &in_force.upstreams,
            all: changes.all(),
            tells_servers: tells_servers(config),
            is_asked: config.is_asked(),
            shared: &shared,
        };
        let all_anew = old.access_log != config.access_log
            || old.limits != config.limits
            || self.shared.observers.is_none() && shared.observers.is_some()
            || old.is_asked() != common.is_asked
            || tells_servers(old) != common.tells_servers;
        let places = self.prepare_places(in_force, config, &common, all_anew, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Prepared {
            engine,
            library,
            changes,
            filters,
            shared,
            narrators,
            metrics,
            toxiproxy,
            admin,
            places,
        })
    }

    /// On other threads: to compile takes its time, and a registry too.
    async fn prepare_filters(
        &self,
        in_force: &InForce,
        config: &Config,
        engine: Option<&Engine>,
        library: &Arc<Library>,
        problems: &mut Vec<String>,
    ) -> Vec<PreparedFilter> {
        let Some(engine) = engine else { return Vec::new() };
        let mut prepared = Vec::new();
        for wanted in &config.filters {
            let (engine, library, wanted) = (engine.clone(), Arc::clone(library), wanted.clone());
            let (upstreams, known) = (Arc::clone(&in_force.upstreams), in_force.filter(&wanted.name).cloned());
            let name = wanted.name.clone();
            let work = move || -> anyhow::Result<_> {
                Ok(match known {
                    Some(filter) if *filter.config() == wanted && filter.is_of(&library) => (filter, None),
                    Some(filter) => {
                        let revision = filter.prepare(wanted, &library)?;
                        (filter, Some(revision))
                    }
                    None => (load_filter(&wanted, &engine, &upstreams, &library)?, None),
                })
            };
            let done = tokio::task::spawn_blocking(work).await;
            let done = done.unwrap_or_else(|panicked| Err(panicked.into()));
            prepared.extend(note(done.with_context(|| format!("filter \"{name}\"")), problems));
        }
        prepared
    }

    /// Where clients connect: at places that are there already, whoever had them, and at new ones.
    fn prepare_places(
        &self,
        in_force: &InForce,
        config: &Config,
        common: &Common<'_>,
        all_anew: bool,
        problems: &mut Vec<String>,
    ) -> Vec<Place> {
        let old = &in_force.config.listeners;
        let by_name: HashMap<&str, usize> = old.iter().enumerate().map(|(at, old)| (&*old.name, at)).collect();
        let stays = |wanted: &ListenerConfig| {
            let at = by_name.get(&*wanted.name).copied();
            at.filter(|at| old[*at].address == wanted.address)
        };
        let kept: HashSet<usize> = config.listeners.iter().filter_map(stays).collect();
        // What a listener leaves another one may take.
        let left = old
            .iter()
            .enumerate()
            .filter(|(at, old)| !kept.contains(at) && !old.address.is_chosen_by_kernel());
        let left: HashMap<&ListenAddress, usize> = left.map(|(at, old)| (&old.address, at)).collect();
        let mut places = Vec::new();
        for wanted in &config.listeners {
            let before = by_name.get(&*wanted.name).map(|at| Before {
                config: &old[*at],
                listener: Arc::clone(&in_force.listeners[*at].listener),
            });
            let at = stays(wanted).or_else(|| left.get(&wanted.address).copied());
            let ground = match at {
                Some(at) => {
                    let before = old[at].socket.clone();
                    problems.extend(sockets::of_listener(&before, wanted));
                    Ok(Ground::Known(Arc::clone(&in_force.listeners[at]), before))
                }
                None => self.bind(wanted),
            };
            let made = match &before {
                Some(before) if !all_anew && before.config == wanted => Ok(Made {
                    listener: Arc::clone(&before.listener),
                    notices: Vec::new(),
                }),
                before => common.listener(wanted, before.as_ref()),
            };
            if let (Some(ground), Some(made)) = (note(ground, problems), note(made, problems)) {
                places.push(Place { ground, made });
            }
        }
        places
    }

    fn bind(&self, wanted: &ListenerConfig) -> anyhow::Result<Ground> {
        let (sockets, address) = listener::bind(wanted, self.workers.len())?;
        let offer = Offer::new(&listener::whom(wanted), &wanted.address, &sockets)?;
        Ok(Ground::New {
            sockets,
            address,
            offer,
        })
    }

    /// From now on it is so.
    fn commit(&mut self, config: Config, prepared: Prepared, (file, overrides): (Arc<Config>, Arc<Overrides>)) {
        let in_force = self.present.load_full();
        if let Some(keeper) = &self.keeper {
            prepared.changes.commit(&in_force.upstreams, keeper);
        }
        let mut published = false;
        let mut filters = Vec::new();
        for (filter, revision) in prepared.filters {
            if let Some(revision) = revision {
                published |= filter.commit(revision) == Reloaded::Changed;
            }
            filters.push(filter);
        }
        let mut listeners = Vec::new();
        for (Place { ground, made }, wanted) in prepared.places.into_iter().zip(&config.listeners) {
            let Made { listener, notices } = made;
            listener.limiter.iter().for_each(|limiter| limiter.begin());
            listeners.push(match ground {
                Ground::Known(known, before) => {
                    let post = Arc::clone(&known.post);
                    post.hand_to(Arc::clone(&listener));
                    // Accepted sockets inherit it from the one that listens.
                    for (_, socket) in post.offer().sockets().unwrap_or_default() {
                        watch_otherwise(&socket, &wanted.vigilance);
                        for refused in change_listening(&socket, &before, &wanted.socket) {
                            let error = sockets::explained(&refused);
                            tracing::warn!(listener = %listener.name, error, "a socket stays as it was");
                        }
                    }
                    Arc::new(Listening { listener, post })
                }
                Ground::New {
                    sockets,
                    address,
                    offer,
                } => {
                    let listening = Listening::new(listener, address, offer);
                    hand_out(&self.workers, &listening.post, sockets);
                    supervisor::keep(|| listening.post.offer().sockets());
                    say_listening(&listening);
                    Arc::new(listening)
                }
            });
            for (notice, fate) in notices {
                notice.give_by(fate);
            }
        }
        let names: HashSet<&str> = config.listeners.iter().map(|listener| &*listener.name).collect();
        for (old, listening) in in_force.config.listeners.iter().zip(&in_force.listeners) {
            if !listeners
                .iter()
                .any(|listener| Arc::ptr_eq(&listener.post, &listening.post))
            {
                listening.post.close();
                supervisor::forget(&[name_of_kept(&old.address.to_string())]);
            }
            if !names.contains(&*old.name) {
                let notices = listening.listener.notices.iter();
                notices.for_each(|notice| notice.give_by(old.on_change));
                self.gone.push(Arc::clone(listening));
            }
        }
        // A listener that no connection has any more has seen all that it will see.
        self.gone.retain(|gone| {
            let has_connections = gone.has_connections();
            if !has_connections {
                say_served(&gone.listener);
            }
            has_connections
        });
        let warms = |config: &Config| config.upstreams.iter().any(|upstream| upstream.preconnect > 0);
        let refills = in_force.config.upstreams != config.upstreams && (warms(&in_force.config) || warms(&config));
        self.engine = prepared.engine;
        self.shared = prepared.shared;
        self.shared.limiter.iter().for_each(|limiter| limiter.begin());
        self.narrators.extend(prepared.narrators);
        let mut metrics = in_force.metrics.clone();
        if let Some(page) = prepared.metrics {
            (self.exporter, metrics) = page.unzip();
        }
        let mut toxiproxy = in_force.toxiproxy.clone();
        if let Some(service) = prepared.toxiproxy {
            (self.toxiproxy, toxiproxy) = service.unzip();
            self.workers.iter().for_each(|worker| worker.tell(Command::Remember));
        }
        let mut admin = in_force.admin.clone();
        if let Some(interface) = prepared.admin {
            admin = interface.as_ref().map(|interface| interface.offer().clone());
            self.answer_by(interface, &in_force.config, &config);
        }
        self.present.store(Arc::new(InForce {
            filters,
            library: prepared.library,
            upstreams: Arc::clone(&in_force.upstreams),
            vitals: Arc::clone(&in_force.vitals),
            metrics,
            toxiproxy,
            admin,
            listeners,
            config,
            file,
            overrides,
        }));
        self.shared.own.listens_at(self.present.load().places());
        for worker in &self.workers {
            if refills {
                worker.tell(Command::Refill);
            }
            worker.tell(Command::Wake);
        }
        if published {
            self.retire();
        }
    }
}

/// What has become of a configuration, before it is in force.
struct Prepared {
    engine: Option<Engine>,
    library: Arc<Library>,
    changes: Changes,
    filters: Vec<PreparedFilter>,
    shared: Shared,
    narrators: Vec<JoinHandle<()>>,
    /// `None`: the page of metrics stays where it is, or is not.
    metrics: Option<Option<(http::Service, Offer)>>,
    /// The same of where Toxiproxy's clients ask.
    toxiproxy: Option<Option<(http::Service, Offer)>>,
    /// And of where orders are given.
    admin: Option<Option<Interface>>,
    /// In the order of the configuration.
    places: Vec<Place>,
}

/// One that is there, and what is to be made of it, if anything is.
type PreparedFilter = (Arc<Filter>, Option<Revision>);

/// A listener, and where it will stand.
struct Place {
    ground: Ground,
    made: Made,
}

enum Ground {
    /// With the options that its sockets have.
    Known(Arc<Listening>, ListenerSocket),
    New {
        sockets: Vec<OwnedFd>,
        address: Peer,
        offer: Offer,
    },
}

/// What came of it, or another problem.
fn note<T>(done: anyhow::Result<T>, problems: &mut Vec<String>) -> Option<T> {
    done.map_err(|error| problems.push(format!("{error:#}"))).ok()
}
