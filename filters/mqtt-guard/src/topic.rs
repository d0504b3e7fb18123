use schemars::JsonSchema;
use serde::Deserialize;

use crate::connect::Version;

/// Who a client says that it is.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) version: Version,
    pub(crate) id: String,
    pub(crate) user: Option<String>,
}

/// What a client subscribes to: topics, with `+` for one level and `#` for all that follow.
#[derive(Debug, PartialEq)]
pub(crate) struct Filter(String);

impl Filter {
    /// Of a shared subscription, "$share/group/", it is what follows.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let filter = match text.strip_prefix("$share/") {
            Some(shared) => shared.split_once('/').filter(|(group, _)| !group.is_empty())?.1,
            None => text,
        };
        is_filter(filter).then(|| Self(filter.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_filter(text: &str) -> bool {
    let is_level = |level: &str| matches!(level, "+" | "#") || !level.contains(['+', '#']);
    let end = text.strip_suffix('#').unwrap_or(text);
    !text.is_empty() && text.split('/').all(is_level) && !end.contains('#')
}

/// A filter with a place for who the client is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub(crate) struct Rule(#[schemars(with = "String")] Vec<Level>);

#[derive(Clone, Debug, PartialEq)]
enum Level {
    One,
    All,
    Id,
    User,
    Named(String),
}

impl Rule {
    pub(crate) fn allows_topic(&self, topic: &str, client: &Client) -> bool {
        // A topic is a filter without wildcards.
        self.allows(topic, client)
    }

    /// Whether every topic that the filter means is allowed.
    pub(crate) fn allows_filter(&self, filter: &Filter, client: &Client) -> bool {
        self.allows(&filter.0, client)
    }

    fn allows(&self, filter: &str, client: &Client) -> bool {
        let Self(levels) = self;
        // As in brokers, wildcards in front do not mean what the broker says of itself: "$SYS/...".
        if filter.starts_with('$') && matches!(levels[0], Level::One | Level::All) {
            return false;
        }
        let mut asked = filter.split('/');
        for level in levels {
            match (level, asked.next()) {
                (Level::All, _) => return true,
                (_, None | Some("#")) => return false,
                (Level::One, Some(_)) => {}
                (level, Some(name)) if level.is(name, client) => {}
                _ => return false,
            }
        }
        asked.next().is_none()
    }
}

impl Level {
    fn is(&self, name: &str, client: &Client) -> bool {
        match self {
            Self::Named(own) => own == name,
            Self::Id => is_name(&client.id) && client.id == name,
            Self::User => client.user.as_ref().is_some_and(|user| is_name(user) && user == name),
            Self::One | Self::All => false,
        }
    }
}

/// A client that is called "+" would be allowed what all others are (CVE-2017-7650).
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['/', '+', '#'])
}

impl TryFrom<String> for Rule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !is_filter(&text) {
            return Err(format!(
                "{text:?} is no topic filter: \"+\" is a whole level, and \"#\" the last"
            ));
        }
        let level = |level: &str| match level {
            "+" => Ok(Level::One),
            "#" => Ok(Level::All),
            "%c" => Ok(Level::Id),
            "%u" => Ok(Level::User),
            name if name.contains("%c") || name.contains("%u") => Err(format!("{text:?}: %c and %u are whole levels")),
            name => Ok(Level::Named(name.to_owned())),
        };
        text.split('/').map(level).collect::<Result<_, _>>().map(Self)
    }
}
