//! Upstreams that change while the proxy runs. What can fail is prepared first; then nothing fails any more.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::discover::Name;
use super::dns::Directory;
use super::keeper::{Keeper, Order};
use super::replace::{Found, replace};
use super::resolve::{Discovered, found, look_up, names, originator};
use super::roster::{Life, Member};
use super::{Terms, Upstream, Upstreams};
use crate::config::{Config, OnChange, UpstreamConfig};
use crate::tls::Originator;
use crate::treatment::Regimen;

/// What a new configuration makes of upstreams: found out, and not yet in force.
pub struct Changes {
    /// All that there will be, in the order of the file.
    all: Vec<Arc<Upstream>>,
    added: Vec<Arc<Upstream>>,
    renewed: Vec<(Arc<Upstream>, Renewal)>,
    removed: Vec<(Arc<Upstream>, OnChange)>,
    /// Present where other name servers are asked than before.
    directory: Option<Arc<Directory>>,
}

struct Renewal {
    config: UpstreamConfig,
    tls: Option<Arc<Originator>>,
    /// Of its names, those that were not there before have been looked up.
    discovered: Discovered,
    /// What becomes of the connections of servers that it has no more; `None`: as the configuration says.
    fate: Option<OnChange>,
}

/// Looks up what is new, and reads certificates. What has not changed is left alone.
///
/// # Errors
/// All that keeps the new upstreams from serving.
pub fn prepare(upstreams: &Upstreams, old: &Config, new: &Config) -> Result<Changes, Vec<anyhow::Error>> {
    let before: HashMap<&str, _> = old.upstreams.iter().map(|config| (&*config.name, config)).collect();
    let present: HashMap<_, _> = upstreams
        .all()
        .iter()
        .map(|known| (known.name().to_string(), Arc::clone(known)))
        .collect();
    let directory = (old.resolver != new.resolver).then(|| Arc::new(Directory::new(&new.resolver)));
    let differs = |config: &&UpstreamConfig| before.get(&*config.name) != Some(config);
    let changed: Vec<_> = new.upstreams.iter().filter(differs).collect();
    let now = Instant::now();
    let unknown = changed.iter().map(|config| {
        let mut names = names(config, now);
        names.retain(|name| place_in(before.get(&*config.name).copied(), config, name.of).is_none());
        names
    });
    let asked = directory.clone().unwrap_or_else(|| upstreams.directory.load_full());
    let learnt = look_up(&asked, unknown.collect()).map_err(|error| vec![error])?;

    let mut changes = Changes {
        all: Vec::new(),
        added: Vec::new(),
        renewed: Vec::new(),
        removed: Vec::new(),
        directory,
    };
    let mut problems = Vec::new();
    for (config, learnt) in changed.into_iter().zip(learnt) {
        let known = before.get(&*config.name).copied();
        let present = present.get(&config.name).filter(|_| known.is_some());
        match (found(config, learnt), originator(config)) {
            (Ok(discovered), Ok(tls)) => match present {
                Some(upstream) => {
                    // What it has learnt of its servers' sessions stays.
                    let same = known.is_some_and(|known| known.tls == config.tls);
                    let tls = if same { upstream.tls() } else { tls };
                    let config = config.clone();
                    let renewal = Renewal {
                        config,
                        tls,
                        discovered,
                        fate: None,
                    };
                    changes.renewed.push((Arc::clone(upstream), renewal));
                }
                None => changes.added.push(Arc::new(Upstream::found(config, discovered, tls))),
            },
            (discovered, tls) => problems.extend(discovered.err().into_iter().chain(tls.err())),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let added: HashMap<_, _> = changes
        .added
        .iter()
        .map(|added| (added.name().to_string(), added))
        .collect();
    let by_name = |config: &UpstreamConfig| added.get(&config.name).copied().or_else(|| present.get(&config.name));
    changes.all = new.upstreams.iter().filter_map(by_name).cloned().collect();
    let stays: HashSet<_> = new.upstreams.iter().map(|config| &*config.name).collect();
    let goes = old.upstreams.iter().filter(|config| !stays.contains(&*config.name));
    changes.removed = goes
        .filter_map(|config| Some((Arc::clone(present.get(&config.name)?), config.on_change)))
        .collect();
    Ok(changes)
}

impl Changes {
    /// All that there will be.
    pub fn all(&self) -> &[Arc<Upstream>] {
        &self.all
    }

    /// What becomes of the connections of servers that this upstream has no more, whatever its configuration says.
    pub fn end_by(&mut self, upstream: &str, fate: OnChange) {
        let renewed = self.renewed.iter_mut().filter(|(known, _)| **known.name() == *upstream);
        renewed.for_each(|(_, renewal)| renewal.fate = Some(fate));
    }

    /// From now on it is so.
    pub fn commit(self, upstreams: &Upstreams, keeper: &Keeper) {
        for (upstream, renewal) in self.renewed {
            let judged_anew = upstream.renew(renewal);
            keeper.tell(Order::Keep { upstream, judged_anew });
        }
        for upstream in self.added {
            let judged_anew = true;
            keeper.tell(Order::Keep { upstream, judged_anew });
        }
        if let Some(directory) = self.directory {
            upstreams.directory.store(directory);
            for upstream in &self.all {
                upstream.follow(names(&upstream.terms().config, Instant::now()));
                keeper.tell(Order::Keep {
                    upstream: Arc::clone(upstream),
                    judged_anew: false,
                });
            }
        }
        upstreams.all.store(Arc::new(self.all));
        for (upstream, fate) in self.removed {
            keeper.tell(Order::Forget(Arc::clone(upstream.name())));
            upstream.terms().notice.give_by(fate);
        }
    }
}

impl Upstream {
    /// Its servers keep what is known of them, wherever they stand in the file now. Returns whether they are asked in another
    /// way than before.
    fn renew(&self, renewal: Renewal) -> bool {
        let Renewal {
            config,
            tls,
            discovered,
            fate: of_removed,
        } = renewal;
        let before = self.terms();
        let old = &before.config;
        let fate = config.on_change;
        // Whoever adds a server does not mean the connections of the others.
        let are_meant = fate != OnChange::Keep && !differs_in_servers_alone(old, &config);
        let notice = match are_meant {
            true => Arc::default(),
            false => Arc::clone(&before.notice),
        };
        let places = places(old, &config);
        let judged_anew = (&old.health, &old.tls, &old.proxy_protocol, &old.source, &old.socket)
            != (
                &config.health,
                &config.tls,
                &config.proxy_protocol,
                &config.source,
                &config.socket,
            );
        if old.servers != config.servers || old.discovery != config.discovery {
            let mut following = discovered.names;
            let mut known = names(&config, Instant::now());
            known.retain(|name| !following.iter().any(|new| new.of == name.of));
            following.extend(known);
            self.follow(following);
        }
        let limits: Vec<_> = config.servers.iter().map(|server| server.max_connections).collect();
        let (is_asked, ejects) = (config.health.is_some(), config.passive.is_some());
        // Whoever shares a bandwidth goes on sharing it.
        let treatment = match config.treatment == old.treatment {
            true => before.treatment.clone(),
            false => Regimen::of(&config.treatment),
        };
        self.terms.store(Arc::new(Terms {
            config,
            tls,
            treatment,
            notice,
        }));
        if are_meant {
            // Those who come from now on are not: they have another one.
            before.notice.give_by(fate);
        }

        let mut roster = self.roster();
        let mut removed = Vec::new();
        roster.retain_mut(|member| {
            let Some(of) = places.get(&member.of).copied() else {
                removed.push(Arc::clone(&member.server));
                return false;
            };
            member.of = of;
            member.server.limit(limits[of]);
            // Where nobody is there any more to say so, it lives.
            if !is_asked {
                member.life = Life::Up;
            }
            member.ejected.take_if(|_| !ejects);
            true
        });
        let same = same(&roster, &discovered.found);
        for (of, found) in discovered.found.iter().filter(|(of, _)| !same.contains(of)) {
            let change = replace(&mut roster, *of, found, |found, twin| self.member(*of, found, twin));
            removed.extend(change.removed);
        }
        for server in &removed {
            server.leaves();
            server.notice().give_by(of_removed.unwrap_or(fate));
        }
        self.remember(&removed);
        self.publish(&roster);
        self.changed.notify_one();
        judged_anew
    }

    /// These names, in the place of those that it follows.
    fn follow(&self, names: Vec<Name>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
    }
}

fn differs_in_servers_alone(old: &UpstreamConfig, new: &UpstreamConfig) -> bool {
    let old = UpstreamConfig {
        servers: new.servers.clone(),
        on_change: new.on_change,
        ..old.clone()
    };
    old == *new
}

/// Where each of the configuration's servers before stands now, if it does: see [`place_in`]. Of thousands, too.
fn places(old: &UpstreamConfig, new: &UpstreamConfig) -> HashMap<usize, usize> {
    let mut before: HashMap<_, Vec<usize>> = HashMap::new();
    for (of, server) in old.servers.iter().enumerate().rev() {
        before.entry(&server.place).or_default().push(of);
    }
    let servers = new.servers.iter().enumerate();
    servers
        .filter_map(|(of, server)| Some((before.get_mut(&server.place)?.pop()?, of)))
        .collect()
}

/// Those that stand for the one server that they stood for: nothing of them is to be replaced.
fn same(roster: &[Member], found: &[(usize, Vec<Found>)]) -> HashSet<usize> {
    let mut members: HashMap<usize, Vec<&Member>> = HashMap::new();
    for member in roster {
        members.entry(member.of).or_default().push(member);
    }
    let is_same = |(of, found): &&(usize, Vec<Found>)| match (members.get(of).map(Vec::as_slice), &found[..]) {
        (Some([member]), [found]) => {
            **member.server.peer() == found.peer && (member.weight, member.backup) == (found.weight, found.backup)
        }
        _ => false,
    };
    found.iter().filter(is_same).map(|(of, _)| *of).collect()
}

/// Where the configuration's server number `of` stood before, if it did: of several that are alike, the first was the first.
fn place_in(old: Option<&UpstreamConfig>, new: &UpstreamConfig, of: usize) -> Option<usize> {
    let place = &new.servers[of].place;
    let earlier = new.servers[..of].iter().filter(|server| server.place == *place).count();
    let alike = old?
        .servers
        .iter()
        .enumerate()
        .filter(|(_, server)| server.place == *place);
    alike.map(|(of, _)| of).nth(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    fn config(ports: &[u16]) -> UpstreamConfig {
        let server = |port: &u16| Address::Socket(([127, 0, 0, 1], *port).into()).into();
        UpstreamConfig::new("test", ports.iter().map(server).collect())
    }

    #[test]
    fn servers_are_found_again_wherever_they_stand_and_those_that_are_alike_in_their_order() {
        let (old, new) = (config(&[1, 2, 2, 3]), config(&[2, 4, 3, 2, 2]));
        let found = places(&old, &new);
        assert_eq!(found, HashMap::from([(1, 0), (3, 2), (2, 3)]));
        let one_by_one = (0..new.servers.len()).filter_map(|of| Some((place_in(Some(&old), &new, of)?, of)));
        assert_eq!(one_by_one.collect::<HashMap<_, _>>(), found);
    }
}
