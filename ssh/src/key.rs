//! Keys: the server's, which is pinned, and ours, which opens the account.
//!
//! Private keys are read in OpenSSH's own format (PROTOCOL.key of OpenSSH 6.5 to 10), without a
//! passphrase: nobody can type one in the capture kernel. Ed25519, ECDSA on NIST P-256, RSA.

use crate::SshError;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use sunset::sshwire::{read_ssh, ssh_push_vec};
use sunset::{PubKey, SignKey};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The longest key file that is looked at, in bytes. RSA of 8192 bits has 6.5 KB.
pub const MAX_KEY: usize = 32 << 10;

/// The public key of a server, as its host key files hold it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostKey {
    algorithm: String,
    /// In SSH's wire format (RFC 4253, 6.6).
    blob: Vec<u8>,
}

impl HostKey {
    pub(crate) fn of(key: &PubKey<'_>) -> Result<Self, SshError> {
        let mut blob = Vec::new();
        ssh_push_vec(&mut blob, key).map_err(|_| SshError::Key("the host key is damaged"))?;
        Self::from_blob(blob)
    }

    fn from_blob(blob: Vec<u8>) -> Result<Self, SshError> {
        let algorithm = Fields(&blob).string()?;
        let algorithm = str::from_utf8(algorithm)
            .ok()
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()))
            .ok_or(SshError::Key("the host key has no name"))?;
        Ok(Self {
            algorithm: algorithm.to_owned(),
            blob,
        })
    }

    /// Whether its signatures can be checked: the library's check of RSA host keys fails on keys shorter
    /// than 8192 bits (sunset 0.6.0), and it knows no others.
    pub(crate) fn is_known(&self) -> bool {
        self.algorithm == "ssh-ed25519"
    }

    /// As `ssh-keygen -l` prints it: `SHA256:…`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = STANDARD_NO_PAD.encode(Sha256::digest(&self.blob));
        format!("SHA256:{hash} ({})", self.algorithm)
    }
}

impl fmt::Display for HostKey {
    /// As in known_hosts after the name: `ssh-ed25519 AAAA…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl FromStr for HostKey {
    type Err = SshError;

    fn from_str(text: &str) -> Result<Self, SshError> {
        let wrong = SshError::Key("this is no public key: write it like \"ssh-ed25519 AAAA...\"");
        let mut words = text.split_ascii_whitespace();
        let (Some(algorithm), Some(encoded)) = (words.next(), words.next()) else {
            return Err(wrong);
        };
        let key = STANDARD
            .decode(encoded)
            .ok()
            .and_then(|blob| Self::from_blob(blob).ok());
        key.filter(|key| key.algorithm == algorithm).ok_or(wrong)
    }
}

/// A private key that opens an account.
#[derive(Clone)]
pub struct PrivateKey(SignKey);

impl fmt::Debug for PrivateKey {
    /// Says nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// Reads a key file of `ssh-keygen`.
    ///
    /// # Errors
    /// Another format, another kind of key, or one with a passphrase.
    pub fn parse(text: &[u8]) -> Result<Self, SshError> {
        let not_ours = SshError::Key(
            "the private key is not in OpenSSH's format. Convert it: ssh-keygen -p -f KEY",
        );
        let text = str::from_utf8(text).unwrap_or_default();
        let body = text
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END))
            .map(|(body, _)| body.split_ascii_whitespace().collect::<String>());
        let Some(bytes) = body.and_then(|body| STANDARD.decode(body).ok()) else {
            return Err(not_ours);
        };
        let mut fields = Fields(bytes.strip_prefix(MAGIC).ok_or(not_ours)?);
        let (cipher, _kdf, _options) = (fields.string()?, fields.string()?, fields.string()?);
        if cipher != b"none" {
            return Err(SshError::Key(
                "the private key has a passphrase, which nobody can type after a panic. \
                 Make one without: ssh-keygen -t ed25519 -N '' -f KEY",
            ));
        }
        if fields.number()? != 1 {
            return Err(SshError::Key("the key file holds more than one key"));
        }
        let _public = fields.string()?;
        let mut secret = Fields(fields.string()?);
        if secret.number()? != secret.number()? {
            return Err(SshError::Key("the private key is damaged"));
        }
        Self::decode(&mut secret)
    }

    fn decode(secret: &mut Fields<'_>) -> Result<Self, SshError> {
        let damaged = SshError::Key("the private key is damaged");
        let algorithm = secret.string()?;
        let mut own = Vec::new();
        put(&mut own, algorithm);
        match algorithm {
            b"ssh-ed25519" => {
                let _public = secret.string()?;
                // The seed, then the public key again.
                put(&mut own, secret.string()?.get(..32).ok_or(damaged)?);
            }
            b"ecdsa-sha2-nistp256" => {
                let (_curve, _public) = (secret.string()?, secret.string()?);
                let number = secret.string()?;
                let number = number.strip_prefix(&[0]).unwrap_or(number);
                let mut scalar = vec![0; 32_usize.saturating_sub(number.len())];
                scalar.extend(number);
                put(&mut own, &scalar);
            }
            b"ssh-rsa" => {
                for _ in ["n", "e", "d"] {
                    put(&mut own, secret.string()?);
                }
                let _inverse = secret.string()?;
                for _ in ["p", "q"] {
                    put(&mut own, secret.string()?);
                }
            }
            _ => {
                return Err(SshError::Key(
                    "keys of this kind are not known here: use ed25519, RSA or ECDSA with 256 bits",
                ));
            }
        }
        let (key, _) =
            read_ssh(&own, None).map_err(|_| SshError::Key("the private key is damaged"))?;
        Ok(Self(key))
    }

    pub(crate) fn signing(&self) -> SignKey {
        self.0.clone()
    }

    /// Its public half, as in an authorized_keys file.
    ///
    /// # Errors
    /// The key cannot be encoded.
    pub fn public(&self) -> Result<HostKey, SshError> {
        HostKey::of(&self.0.pubkey())
    }
}

/// Appends a string in SSH's wire format.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// Fields in SSH's wire format (RFC 4251, 5), read one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Result<u32, SshError> {
        let (number, rest) = self
            .0
            .split_first_chunk()
            .ok_or(SshError::Key("the key is cut off"))?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Result<&'a [u8], SshError> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        let (string, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(SshError::Key("the key is cut off"))?;
        self.0 = rest;
        Ok(string)
    }
}

#[cfg(test)]
mod tests;
