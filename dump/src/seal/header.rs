//! The header of an age file: a stanza for each recipient that wraps the file's key, and a MAC.
//!
//! Source of the facts: C2SP, age.md: "The X25519 recipient type", "Header MAC", "Payload".

use super::keys::{Identities, Recipient};
use super::random::random;
use super::{MAGIC, SealError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use hkdf::Hkdf;
use hkdf::hmac::{Hmac, Mac};
use sha2::Sha256;
use std::io;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

/// Bytes of a file's key.
const FILE_KEY: usize = 16;
/// Bytes of the nonce behind the header.
const NONCE: usize = 16;
/// Bytes of an authentication tag.
pub(super) const TAG: usize = 16;
/// Most bytes of a header that is read: some 500 recipients.
pub(super) const HEADER_MAX: usize = 64 << 10;
/// Characters of a whole line of a stanza's body.
const LINE: usize = 64;
/// The word of our stanzas.
const X25519: &str = "X25519";
/// What the key that wraps a file's key is derived for.
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";

/// The cipher of a payload's pieces.
pub(super) type Cipher = ChaCha20Poly1305;

/// A new file's header with the nonce behind it, and the cipher of its payload.
///
/// # Errors
/// The system has no random numbers; a recipient is not a real key.
pub(super) fn write(recipients: &[Recipient]) -> io::Result<(Vec<u8>, Cipher)> {
    let file_key: [u8; FILE_KEY] = random()?;
    let mut text = MAGIC.to_vec();
    for recipient in recipients {
        let secret = random()?;
        let share = x25519(secret, X25519_BASEPOINT_BYTES);
        let shared = x25519(secret, recipient.0);
        let unusable = || io::Error::other(format!("{recipient} is not a usable key"));
        let key = wrap_key(&share, recipient, &shared).ok_or_else(unusable)?;
        let mut body = file_key;
        let tag = key
            .encrypt_inout_detached(&Nonce::default(), b"", body.as_mut_slice().into())
            .map_err(|_| unusable())?;
        let body = [body.as_slice(), tag.as_slice()].concat();
        let line = format!(
            "-> {X25519} {}\n{}\n",
            STANDARD_NO_PAD.encode(share),
            STANDARD_NO_PAD.encode(body)
        );
        text.extend_from_slice(line.as_bytes());
    }
    text.extend_from_slice(b"---");
    let mac = header_mac(&file_key, &text).map(|mac| mac.finalize().into_bytes());
    let mac = mac.ok_or_else(|| io::Error::other("no key of that length"))?;
    text.extend_from_slice(format!(" {}\n", STANDARD_NO_PAD.encode(mac)).as_bytes());
    let nonce: [u8; NONCE] = random()?;
    text.extend_from_slice(&nonce);
    let cipher = payload(&file_key, &nonce).ok_or_else(|| io::Error::other("no key"))?;
    Ok((text, cipher))
}

/// The cipher of the payload of a file that begins with `bytes`, and where its payload begins.
///
/// # Errors
/// The header is damaged, or no identity opens it.
pub(super) fn read(bytes: &[u8], identities: &Identities) -> Result<(Cipher, u64), SealError> {
    let damaged = SealError::Header;
    let mut lines = Lines { bytes, at: 0 };
    if !bytes.starts_with(MAGIC) {
        return Err(damaged("it begins otherwise"));
    }
    lines.at = MAGIC.len();
    let mut stanzas = Vec::new();
    let mac_of = loop {
        let begin = lines.at;
        let line = lines.next().ok_or(damaged("it does not end"))?;
        if let Some(mac) = line.strip_prefix("---") {
            let mac = mac
                .strip_prefix(' ')
                .ok_or(damaged("its last line has no MAC"))?;
            let mac = decode(mac).ok_or(damaged("its MAC is not base64"))?;
            break (
                bytes.get(..begin.saturating_add(3)).unwrap_or_default(),
                mac,
            );
        }
        let words = line
            .strip_prefix("-> ")
            .ok_or(damaged("a stanza begins otherwise"))?;
        let words: Vec<&str> = words.split(' ').collect();
        let bad = |word: &&str| word.is_empty() || !word.bytes().all(|c| (33..=126).contains(&c));
        if words.iter().any(bad) {
            return Err(damaged("a word of a stanza is not printable"));
        }
        let body = body(&mut lines).map_err(damaged)?;
        if words.first() == Some(&X25519) {
            stanzas.push(stanza(&words, &body).map_err(damaged)?);
        } else if words.first() == Some(&"scrypt") {
            return Err(damaged(
                "it is sealed by a passphrase, which is not supported",
            ));
        }
    };
    if stanzas.is_empty() && identities.is_empty() {
        return Err(SealError::Sealed);
    }
    let (of, mac) = mac_of;
    let tried = identities.all().iter();
    let opened = tried
        .flat_map(|identity| stanzas.iter().map(move |stanza| (identity, stanza)))
        .find_map(|(identity, (share, body))| {
            let shared = identity.shared(*share);
            let key = wrap_key(share, &identity.recipient(), &shared)?;
            unwrap(&key, body)
        });
    let file_key = opened.ok_or(match identities.is_empty() {
        true => SealError::Sealed,
        false => SealError::NoMatch {
            identities: identities.all().len(),
        },
    })?;
    let expected = header_mac(&file_key, of).ok_or(damaged("its key has another length"))?;
    expected
        .verify_slice(&mac)
        .map_err(|_| damaged("its MAC is wrong: it was changed"))?;
    let nonce = lines
        .at
        .checked_add(NONCE)
        .and_then(|end| bytes.get(lines.at..end));
    let nonce = nonce.ok_or(damaged("the file ends behind it"))?;
    let cipher = payload(&file_key, nonce).ok_or(damaged("its key has another length"))?;
    Ok((cipher, (lines.at as u64).saturating_add(NONCE as u64)))
}

/// The lines of a header; each ends with a newline.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().position(|c| *c == b'\n')?;
        self.at = self.at.checked_add(len)?.checked_add(1)?;
        std::str::from_utf8(rest.get(..len)?).ok()
    }
}

/// A stanza's body: lines of [`LINE`] characters, and a shorter one that ends it.
fn body(lines: &mut Lines<'_>) -> Result<Vec<u8>, &'static str> {
    let mut text = String::new();
    loop {
        let line = lines.next().ok_or("a stanza does not end")?;
        if line.len() > LINE {
            return Err("a line of a stanza is too long");
        }
        text.push_str(line);
        if line.len() < LINE {
            return decode(&text).ok_or("a stanza is not base64");
        }
    }
}

/// The share and the wrapped key of one of our stanzas.
fn stanza(words: &[&str], body: &[u8]) -> Result<([u8; 32], Vec<u8>), &'static str> {
    let [_, share] = words else {
        return Err("an X25519 stanza has another number of words");
    };
    let share = decode(share).and_then(|share| <[u8; 32]>::try_from(share).ok());
    let share = share.ok_or("the share of an X25519 stanza has another length")?;
    if body.len() != FILE_KEY + TAG {
        return Err("the body of an X25519 stanza has another length");
    }
    Ok((share, body.to_vec()))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// The key that wraps a file's key; `None` where the secret is that of a point of low order.
fn wrap_key(share: &[u8; 32], recipient: &Recipient, shared: &[u8; 32]) -> Option<Cipher> {
    if shared.iter().all(|byte| *byte == 0) {
        return None;
    }
    let salt = [share.as_slice(), &recipient.0].concat();
    derive(Some(&salt), shared, WRAP_INFO).and_then(|key| Cipher::new_from_slice(&key).ok())
}

fn unwrap(key: &Cipher, body: &[u8]) -> Option<[u8; FILE_KEY]> {
    let (sealed, tag) = body.split_at_checked(FILE_KEY)?;
    let mut opened = <[u8; FILE_KEY]>::try_from(sealed).ok()?;
    let tag = Tag::try_from(tag).ok()?;
    key.decrypt_inout_detached(&Nonce::default(), b"", opened.as_mut_slice().into(), &tag)
        .ok()?;
    Some(opened)
}

fn header_mac(file_key: &[u8], text: &[u8]) -> Option<Hmac<Sha256>> {
    let key = derive(None, file_key, b"header")?;
    let mut mac = <Hmac<Sha256> as hkdf::hmac::KeyInit>::new_from_slice(&key).ok()?;
    mac.update(text);
    Some(mac)
}

fn payload(file_key: &[u8], nonce: &[u8]) -> Option<Cipher> {
    let key = derive(Some(nonce), file_key, b"payload")?;
    Cipher::new_from_slice(&key).ok()
}

fn derive(salt: Option<&[u8]>, secret: &[u8], info: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let derived = Hkdf::<Sha256>::new(salt, secret).expand(info, &mut key);
    derived.ok().map(|()| key)
}
