//! Where routes lead.

use crate::config::{Refusal, RouteConfig, RouteTarget};

/// Where a route leads one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A place in `Rules::upstream_names`.
    Upstream(usize),
    /// Nowhere: how it is closed.
    Refuse(Refusal),
}

/// Of all routes of a listener.
#[derive(Debug)]
pub(super) struct Targets {
    of_route: Vec<Shares>,
    upstream_names: Vec<String>,
}

#[derive(Debug)]
enum Shares {
    All(Target),
    /// Upstreams side by side on a line, each as long as its share, with where it ends. Without those that have none.
    Split(Box<[(u64, usize)]>),
}

impl Targets {
    pub(super) fn new(routes: &[RouteConfig]) -> Self {
        let mut upstream_names = Vec::new();
        let of_route = routes
            .iter()
            .map(|route| Shares::new(&route.target, &mut upstream_names));
        Self {
            of_route: of_route.collect(),
            upstream_names,
        }
    }

    pub(super) fn upstream_names(&self) -> &[String] {
        &self.upstream_names
    }

    pub(super) fn draw(&self, route: usize, draw: u64) -> Target {
        self.of_route[route].draw(draw)
    }
}

impl Shares {
    fn new(target: &RouteTarget, names: &mut Vec<String>) -> Self {
        match target {
            RouteTarget::Upstream(name) => Self::All(Target::Upstream(place(name, names))),
            RouteTarget::Refuse(refusal) => Self::All(Target::Refuse(*refusal)),
            RouteTarget::Split(shares) => {
                let mut end = 0;
                let mut line = Vec::new();
                for (name, share) in shares {
                    // Named also where it has no share: somebody may want to look at it.
                    let upstream = place(name, names);
                    if *share > 0 {
                        end += u64::from(*share);
                        line.push((end, upstream));
                    }
                }
                Self::Split(line.into())
            }
        }
    }

    fn draw(&self, draw: u64) -> Target {
        match self {
            Self::All(target) => *target,
            Self::Split(line) => {
                let length = line.last().map_or(0, |(end, _)| *end);
                // The upper half of the product: every point as likely as the others, without a division.
                let point = (u128::from(draw) * u128::from(length)) >> 64;
                let owner = line.iter().find(|(end, _)| u128::from(*end) > point);
                match owner {
                    Some((_, upstream)) => Target::Upstream(*upstream),
                    // Nobody has a share: the configuration does not allow it.
                    None => Target::Refuse(Refusal::Alert),
                }
            }
        }
    }
}

fn place(name: &str, names: &mut Vec<String>) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}
