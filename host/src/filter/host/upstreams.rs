//! `upstreams`: what a router can choose from.

use crate::filter::abi::base::spliceway::filter::upstreams::{Group, Host};
use crate::filter::instance::State;

impl Host for State {
    fn get(&mut self, name: String) -> Option<Group> {
        self.generation.kept().groups.get(&name).map(Group::from)
    }

    fn all(&mut self) -> Vec<Group> {
        self.generation
            .kept()
            .groups
            .all()
            .into_iter()
            .map(Group::from)
            .collect()
    }
}

impl From<crate::filter::Group> for Group {
    fn from(group: crate::filter::Group) -> Self {
        Self {
            name: group.name,
            servers: group.servers,
            healthy: group.healthy,
            connections: group.connections,
        }
    }
}
