//! Filters, loaded and kept as their sources have them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use anyhow::Context;
use tokio::time::sleep;

use super::Server;
use super::thread::Command;
use crate::artifact::{Library, Patience, Trouble};
use crate::config::{Config, FilterConfig, Source};
use crate::filter::{Engine, Filter, Groups, Occasion, Reloaded};
use crate::upstream::Upstreams;

impl Server {
    /// Looks at every filter's file and publishes what is new. What does not load changes nothing. Filters from registries are
    /// somebody else's business: they take their time.
    pub async fn reload_filters(&self, occasion: Occasion) {
        for filter in &self.present.load_full().filters {
            if let Source::Oci(_) = filter.config().source {
                if occasion == Occasion::Request {
                    filter.want();
                }
                continue;
            }
            if let Err(error) = self.reload_filter(filter, occasion).await {
                let generation = filter.generation();
                let error = format!("{error:#}");
                tracing::warn!(filter = %filter.name(), generation, error, "filter rejected");
            }
        }
    }

    /// On a thread that may take its time. What has changed is told to workers there, too: whoever waits for it here may have
    /// turned to something else by then.
    async fn reload_filter(&self, filter: &Arc<Filter>, occasion: Occasion) -> anyhow::Result<Reloaded> {
        let (filter, workers) = (Arc::clone(filter), self.commands());
        let reload = move || {
            let reloaded = filter.reload(occasion)?;
            if reloaded == Reloaded::Changed {
                workers.iter().for_each(|worker| _ = worker.send(Command::Retire));
            }
            Ok(reloaded)
        };
        let reloaded = tokio::task::spawn_blocking(reload).await;
        reloaded.unwrap_or_else(|panicked| Err(panicked.into()))
    }

    /// Asks registries for what is new, each filter by itself, for as long as it is polled: when it is time, when somebody wants
    /// it, and again where there was no answer. What does not come changes nothing.
    pub async fn pull_filters(&self) {
        let in_force = self.present.load_full();
        let from_registries = in_force
            .filters
            .iter()
            .filter(|filter| filter.config().source.file().is_none());
        let mut pulled: Vec<_> = from_registries
            .map(|filter| Box::pin(self.keep_pulled(filter)))
            .collect();
        poll_fn(|cx| {
            pulled.iter_mut().for_each(|filter| _ = filter.as_mut().poll(cx));
            Poll::<()>::Pending
        })
        .await;
    }

    async fn keep_pulled(&self, filter: &Arc<Filter>) {
        let mut patience = Patience::default();
        if filter.is_behind() {
            patience.failed();
        }
        loop {
            let wait = patience.wait(filter.config().pull, fastrand::f64());
            let time = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            let occasion = tokio::select! {
                () = filter.wanted() => Occasion::Request,
                () = time => Occasion::Event,
            };
            match self.reload_filter(filter, occasion).await {
                Ok(_) => patience.answered(),
                Err(error) => {
                    let is_passing = error.downcast_ref::<Trouble>().is_some_and(Trouble::is_passing);
                    match is_passing {
                        true => patience.failed(),
                        false => patience.answered(),
                    }
                    let generation = filter.generation();
                    let error = format!("{error:#}");
                    match is_passing {
                        true => tracing::warn!(filter = %filter.name(), generation, error, "filter not pulled"),
                        false => tracing::warn!(filter = %filter.name(), generation, error, "filter rejected"),
                    }
                }
            }
        }
    }

    /// Lets every filter decide what becomes of its generations, for as long as it is polled: workers only count.
    pub async fn supervise_filters(&self) {
        let supervise = async |filter: &Filter| {
            loop {
                filter.supervise().await;
                self.retire();
            }
        };
        let in_force = self.present.load_full();
        let mut supervised: Vec<_> = in_force
            .filters
            .iter()
            .map(|filter| Box::pin(supervise(filter)))
            .collect();
        // Each of them looks at most every now and then, and nothing is done where there is nothing to see.
        poll_fn(|cx| {
            supervised.iter_mut().for_each(|filter| _ = filter.as_mut().poll(cx));
            Poll::<()>::Pending
        })
        .await;
    }
}

/// # Errors
/// What keeps the first of those that do not load from loading.
pub(super) fn load_filters(
    config: &Config,
    engine: Option<&Engine>,
    upstreams: &Arc<Upstreams>,
    library: &Arc<Library>,
) -> anyhow::Result<Vec<Arc<Filter>>> {
    let Some(engine) = engine else { return Ok(Vec::new()) };
    let load = |filter| load_filter(filter, engine, upstreams, library);
    config.filters.iter().map(load).collect()
}

/// # Errors
/// It does not load.
pub(super) fn load_filter(
    config: &FilterConfig,
    engine: &Engine,
    upstreams: &Arc<Upstreams>,
    library: &Arc<Library>,
) -> anyhow::Result<Arc<Filter>> {
    let groups = Arc::clone(upstreams) as Arc<dyn Groups>;
    let filter = Filter::from_library(config.clone(), engine, groups, Arc::clone(library));
    filter
        .reload(Occasion::Request)
        .with_context(|| format!("filter \"{}\"", config.name))?;
    Ok(Arc::new(filter))
}
