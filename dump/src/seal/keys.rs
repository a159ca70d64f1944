//! Public and private keys of age: X25519, written in Bech32.

use super::{SealError, bech32};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// How a recipient's text begins.
const RECIPIENT: &str = "age";
/// How an identity's text begins.
const IDENTITY: &str = "age-secret-key-";

/// A public key that files are sealed to: `age1…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Recipient(pub(super) [u8; 32]);

impl FromStr for Recipient {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        let wrong = |why| SealError::Recipient {
            text: text.chars().take(80).collect(),
            why,
        };
        if text.starts_with("ssh-") {
            return Err(wrong(
                "SSH keys are not supported; make a key with age-keygen",
            ));
        }
        if text.starts_with("age1pq1") || text.starts_with("age1tag") {
            return Err(wrong(
                "only X25519 keys are supported; make one with age-keygen",
            ));
        }
        bech32::decode(RECIPIENT, text).map(Self).map_err(wrong)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A private key that opens what is sealed to its recipient. It is never printed.
#[derive(Clone)]
pub struct Identity {
    secret: [u8; 32],
}

impl Identity {
    /// A new key, from the system's random numbers.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> std::io::Result<Self> {
        Ok(Self {
            secret: super::random::random()?,
        })
    }

    /// The public key.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(x25519(self.secret, X25519_BASEPOINT_BYTES))
    }

    /// The secret that this key and a sender's share have in common.
    pub(super) fn shared(&self, share: [u8; 32]) -> [u8; 32] {
        x25519(self.secret, share)
    }

    /// Its text, for a file that only its owner reads.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        bech32::encode(IDENTITY, &self.secret).to_ascii_uppercase()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity of {}", self.recipient())
    }
}

/// The private keys at hand, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Identities(Vec<Identity>);

impl Identities {
    /// Those of an identity file, as age-keygen writes it: one a line; empty lines and lines that begin
    /// with `#` are passed over.
    ///
    /// # Errors
    /// A line is not an identity, or the text holds no identity.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let mut found = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |why| SealError::Identity { line: number, why };
            if line.starts_with("AGE-PLUGIN-") {
                return Err(wrong("plugins are not supported"));
            }
            let secret = bech32::decode(IDENTITY, line).map_err(wrong)?;
            found.push(Identity { secret });
        }
        match found.is_empty() {
            true => Err(SealError::NoIdentity),
            false => Ok(Self(found)),
        }
    }

    /// One key.
    #[must_use]
    pub fn of(identity: Identity) -> Self {
        Self(vec![identity])
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> &[Identity] {
        &self.0
    }
}
