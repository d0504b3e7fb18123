//! Keys that sign.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::id_of;
use super::{Signature, Statement};

/// A new pair, as the texts of its two files.
pub struct Pair {
    pub id: String,
    /// The public key alone, as it is typed in a configuration.
    pub public: String,
    pub public_file: String,
    pub secret_file: String,
}

/// What keeps a secret key from whoever can read its file.
pub enum Password {
    Given(String),
    /// Asked for on the terminal.
    Ask,
    None,
}

impl Pair {
    /// With a password for the secret key, or without one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn generate(password: Password) -> Result<Self, SecretError> {
        let pair = match password {
            Password::Given(password) => minisign::KeyPair::generate_encrypted_keypair(Some(password)),
            Password::Ask => minisign::KeyPair::generate_encrypted_keypair(None),
            Password::None => minisign::KeyPair::generate_unencrypted_keypair(),
        }?;
        let id = id_of(pair.pk.keynum()).unwrap_or_default();
        Ok(Self {
            public: pair.pk.to_base64(),
            public_file: pair.pk.to_box()?.into_string(),
            secret_file: pair
                .sk
                .to_box(Some(&format!("spliceway secret key {id}")))?
                .into_string(),
            id,
        })
    }
}

/// A secret key of minisign's, ready to sign.
pub struct SecretKey(minisign::SecretKey);

impl SecretKey {
    /// From the text of its file. `password` is asked where the key has one.
    ///
    /// # Errors
    /// It is no such key, or the password is another.
    pub fn open(file: &str, password: impl FnOnce() -> Result<Password, SecretError>) -> Result<Self, SecretError> {
        let file = || minisign::SecretKeyBox::from_string(file);
        let line = file()?.into_string();
        let key = secret_key(&line).ok_or(SecretError::NoKey)?;
        if !key.is_encrypted() {
            return Ok(Self(key));
        }
        let password = match password()? {
            Password::Given(password) => Some(password),
            Password::Ask => None,
            Password::None => Some(String::new()),
        };
        file()?
            .into_secret_key(password)
            .map(Self)
            .map_err(|_| SecretError::WrongPassword)
    }

    pub fn id(&self) -> String {
        id_of(self.0.keynum()).unwrap_or_default()
    }

    /// Signs a component as what the statement says.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn sign(&self, bytes: &[u8], statement: &Statement) -> Result<Signature, SecretError> {
        let comment = format!("signature from spliceway secret key {}", self.id());
        // Of a key that has been damaged the two halves do not fit.
        let public = minisign::PublicKey::from_secret_key(&self.0)?;
        let signed = minisign::sign(
            Some(&public),
            &self.0,
            bytes,
            Some(&statement.to_string()),
            Some(&comment),
        )?;
        Ok(Signature::Minisign(signed.into_string()))
    }
}

/// Its second line: 158 bytes that begin with the name of the algorithm. Where minisign writes it without a password, it has
/// no checksum, which the library insists on.
fn secret_key(text: &str) -> Option<minisign::SecretKey> {
    const BYTES: usize = 158;
    let bytes = STANDARD.decode(text.lines().nth(1)?.trim()).ok()?;
    let is_one = bytes.len() == BYTES && bytes.starts_with(b"Ed");
    is_one.then(|| minisign::SecretKey::from_bytes(&bytes).ok()).flatten()
}

/// Why there is no key, or no signature.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("this is no secret key of minisign's: expected the file `NAME.key` that `spliceway filter keygen` wrote")]
    NoKey,
    #[error("it does not open with this password")]
    WrongPassword,
    #[error("{0}")]
    NoPassword(String),
    #[error("{0}")]
    Minisign(#[from] minisign::PError),
}
