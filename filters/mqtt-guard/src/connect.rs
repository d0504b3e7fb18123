use crate::reader::Reader;
use crate::topic::Client;

/// The first packet of a client: who it is, and what is to be published when it is gone.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) client: Client,
    pub(crate) will: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1
    V3,
    V5,
}

const WILL: u8 = 0x04;
const PASSWORD: u8 = 0x40;
const USER: u8 = 0x80;
const RESERVED: u8 = 0x01;

impl Connect {
    pub(crate) fn read(body: &[u8]) -> Result<Self, &'static str> {
        const MALFORMED: &str = "a malformed CONNECT";
        let mut reader = Reader(body);
        let version = version(&mut reader)?;
        Self::fields(&mut reader, version)
            .filter(|_| reader.is_empty())
            .ok_or(MALFORMED)
    }

    fn fields(reader: &mut Reader<'_>, version: Version) -> Option<Self> {
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let _keep_alive = reader.number()?;
        let properties = |reader: &mut Reader<'_>| match version {
            Version::V3 => Some(()),
            Version::V5 => reader.skip_properties(),
        };
        if has(RESERVED) {
            return None;
        }
        properties(reader)?;
        let id = reader.text()?.to_owned();
        let mut will = None;
        if has(WILL) {
            properties(reader)?;
            will = Some(reader.text()?.to_owned());
            let _message = reader.binary()?;
        }
        let user = if has(USER) {
            Some(reader.text()?.to_owned())
        } else {
            None
        };
        if has(PASSWORD) {
            let _password = reader.binary()?;
        }
        let client = Client { version, id, user };
        Some(Self { client, will })
    }
}

fn version(reader: &mut Reader<'_>) -> Result<Version, &'static str> {
    match (reader.text(), reader.byte()) {
        (Some("MQTT"), Some(4)) => Ok(Version::V3),
        (Some("MQTT"), Some(5)) => Ok(Version::V5),
        (Some("MQTT" | "MQIsdp"), Some(_)) => Err("a version of MQTT that is neither 3.1.1 nor 5"),
        _ => Err("not MQTT"),
    }
}
