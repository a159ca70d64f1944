//! LUKS2 volumes: the table that the capture kernel makes them from, and whether their key gets there.
//!
//! Facts: the LUKS2 on-disk format, 1.1 (binary header of 4 KiB, JSON behind it);
//! Documentation/admin-guide/device-mapper/dm-crypt.rst; kernel/crash_dump_dm_crypt.c, Linux 6.16 to 7.2: the
//! kernel copies `logon` keys that are named in configfs into the capture kernel's memory while kexec_file_load
//! runs, and the capture kernel gets each as a `user` key of the same description. The table is worked out from
//! the header and never asked of the kernel, so no key is ever in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plan::{DeviceMapper, Segment};
use serde::Deserialize;

use super::error::ResolveError;
use super::sysfs::{Machine, name_of};
use crate::closure::Wanted;
use crate::modules::{Found, name_of as module_name};
use crate::root::Root;

/// Where the kernel is told which keys to hand over.
const KEYS: &str = "/sys/kernel/config/crash_dm_crypt_keys";
/// The binary header, and where the JSON begins.
const HEADER: usize = 4096;
/// The largest header that the format knows, both parts.
const LARGEST: u64 = 4 << 20;

/// Why a volume cannot be a target's; completes [`ResolveError::Encrypted`].
#[derive(Debug, thiserror::Error)]
enum LuksError {
    #[error("it is no LUKS2 volume; only LUKS2 keeps its key in a keyring")]
    NotLuks2,
    #[error(
        "this kernel hands no key over: there is no {KEYS} (Linux 6.16 and later with CONFIG_CRASH_DM_CRYPT, and configfs mounted)"
    )]
    NoHandOver,
    #[error("its header cannot be read: {0}")]
    Header(#[from] std::io::Error),
    #[error("its header makes no sense: {0}")]
    Nonsense(&'static str),
    #[error("its metadata cannot be understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error(
        "its data is not one plain segment (being encrypted anew, with integrity, or on hardware)"
    )]
    Segments,
    #[error(
        "its key \"{0}\" is in no keyring; open the volume with --link-vk-to-keyring \"@u::%logon:{0}\" (cryptsetup 2.7 and later; link-volume-key= in crypttab)"
    )]
    NoKey(String),
}

#[derive(Deserialize)]
struct Metadata {
    keyslots: BTreeMap<String, Keyslot>,
    segments: BTreeMap<String, Data>,
    digests: BTreeMap<String, Digest>,
    config: Settings,
}

#[derive(Deserialize)]
struct Keyslot {
    key_size: u32,
}

/// Numbers of 64 bits are strings in this JSON.
#[derive(Deserialize)]
struct Data {
    #[serde(rename = "type")]
    kind: String,
    offset: String,
    iv_tweak: String,
    encryption: String,
    sector_size: u32,
    integrity: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Digest {
    keyslots: Vec<String>,
    segments: Vec<String>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    requirements: Requirements,
}

#[derive(Deserialize, Default)]
struct Requirements {
    #[serde(default)]
    mandatory: Vec<String>,
}

/// Describes the opened volume at `sys`, whose device is at `below`.
pub(super) fn volume(
    machine: &Machine,
    sys: &Path,
    uuid: &str,
    below: &[PathBuf],
) -> Result<DeviceMapper, ResolveError> {
    let name = machine.root.text(sys.join("dm/name")).unwrap_or_default();
    let described = || -> Result<DeviceMapper, LuksError> {
        if !uuid.starts_with("CRYPT-LUKS2-") {
            return Err(LuksError::NotLuks2);
        }
        if !machine.root.exists(KEYS) {
            return Err(LuksError::NoHandOver);
        }
        let [below] = below else {
            return Err(LuksError::Nonsense("it does not lie on one device"));
        };
        let sectors = machine.root.number(sys.join("size")).unwrap_or_default();
        let (id, line) = table(&header(machine, &machine.node(below))?, sectors)?;
        let volume = DeviceMapper {
            name: name.clone(),
            uuid: uuid.to_owned(),
            vg_uuid: None,
            lv_uuid: None,
            vg_seqno: None,
            table: vec![line],
        };
        match is_there(machine.root, &id) {
            true => Ok(volume),
            false => Err(LuksError::NoKey(key(&id))),
        }
    };
    described().map_err(|why| ResolveError::Encrypted {
        device: name_of(sys),
        map: name.clone(),
        what: why.to_string(),
    })
}

/// The description of a volume's key, as cryptsetup has it for its own and as the kernel's documentation has it.
fn key(volume: &str) -> String {
    format!("cryptsetup:{volume}")
}

/// Both parts of the header.
fn header(machine: &Machine, node: &Path) -> Result<Vec<u8>, LuksError> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::open(machine.root.open_path(node)?)?;
    let mut first = vec![0; HEADER];
    file.read_exact_at(&mut first, 0)?;
    let size = first.get(8..16).and_then(|bytes| bytes.try_into().ok());
    let size = size.map_or(0, u64::from_be_bytes);
    if !(0x4000..=LARGEST).contains(&size) {
        return Err(LuksError::Nonsense("its size"));
    }
    let size = usize::try_from(size).map_err(|_| LuksError::Nonsense("its size"))?;
    let mut whole = vec![0; size];
    file.read_exact_at(&mut whole, 0)?;
    Ok(whole)
}

/// The volume's UUID, and the only line of the table of a device with so many sectors.
fn table(header: &[u8], sectors: u64) -> Result<(String, Segment), LuksError> {
    if header.get(..8) != Some(b"LUKS\xba\xbe\x00\x02") {
        return Err(LuksError::Nonsense("its beginning"));
    }
    let until_nul = |bytes: &[u8]| {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8(text.to_vec()).unwrap_or_default()
    };
    let id = until_nul(header.get(168..208).unwrap_or_default());
    let well_formed = id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if id.len() != 36 || !well_formed {
        return Err(LuksError::Nonsense("its UUID"));
    }
    let json = until_nul(header.get(HEADER..).unwrap_or_default());
    let metadata: Metadata = serde_json::from_str(&json)?;
    let (Some((number, data)), 1) = (metadata.segments.first_key_value(), metadata.segments.len())
    else {
        return Err(LuksError::Segments);
    };
    let plain = data.kind == "crypt" && data.integrity.is_none();
    if !plain || !metadata.config.requirements.mandatory.is_empty() {
        return Err(LuksError::Segments);
    }
    let of_data = |digest: &&Digest| digest.segments.contains(number);
    let digest = metadata.digests.values().find(of_data);
    let slot = digest.and_then(|digest| digest.keyslots.first());
    let size = slot.and_then(|slot| metadata.keyslots.get(slot));
    let size = size.ok_or(LuksError::Nonsense("no key slot is of its data"))?;
    let bytes: u64 = data.offset.parse().unwrap_or_default();
    let tweak: u64 = (data.iv_tweak.parse()).map_err(|_| LuksError::Nonsense("its IV"))?;
    // dm-crypt's parameters are words.
    let one_word = |text: &str| !text.is_empty() && !text.contains([' ', '{', '\\']);
    if bytes == 0 || !bytes.is_multiple_of(512) || !one_word(&data.encryption) {
        return Err(LuksError::Nonsense("where its data begins"));
    }
    let options = match data.sector_size {
        512 => String::new(),
        size @ (1024 | 2048 | 4096) => format!(" 1 sector_size:{size}"),
        _ => return Err(LuksError::Nonsense("its sectors")),
    };
    let line = Segment {
        start: 0,
        sectors,
        target: "crypt".to_owned(),
        params: format!(
            "{} :{}:user:{} {tweak} {{0}} {}{options}",
            data.encryption,
            size.key_size,
            key(&id),
            bytes / 512
        ),
        devices: vec![id.clone()],
    };
    Ok((id, line))
}

/// Whether the kernel gets the key with the next load: it is in a keyring, or in the image that is loaded, which
/// hands it on (`reuse`).
fn is_there(root: &Root, volume: &str) -> bool {
    let key = key(volume);
    if in_keyring(root).contains(&key) {
        return true;
    }
    let registered = root.names(KEYS).into_iter().any(|item| {
        let file = Path::new(KEYS).join(item).join("description");
        root.text(file).as_deref() == Some(&key)
    });
    registered && root.number("/sys/kernel/kexec_crash_loaded") == Some(1)
}

/// The descriptions of the `logon` keys in /proc/keys that can be used.
pub(super) fn in_keyring(root: &Root) -> Vec<String> {
    let keys = root.text("/proc/keys").unwrap_or_default();
    keys.lines().filter_map(valid).map(str::to_owned).collect()
}

/// The description in a line of /proc/keys (security/keys/proc.c: serial, flags, usage, timeout, permissions, uid, gid,
/// type, the description with a colon behind it), if it is of a `logon` key that can be used.
fn valid(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.as_slice() {
        [_, flags, _, timeout, _, _, _, "logon", description, ..]
            if flags.starts_with('I')
                && !flags.contains(['R', 'D', 'N', 'i'])
                && *timeout != "expd" =>
        {
            description.strip_suffix(':')
        }
        _ => None,
    }
}

/// The modules of dm-crypt and of what it encrypts with: of the algorithms' modules those that are loaded now.
pub(super) fn modules(machine: &Machine, volume: &DeviceMapper, why: &str) -> Vec<Wanted> {
    let mut wanted = vec![
        Wanted::required("dm_mod", why),
        Wanted::required("dm_crypt", why),
    ];
    let encryption = volume.table.iter().map(|line| line.params.as_str());
    let encryption = encryption.filter_map(|params| params.split(' ').next());
    // `aes-xts-plain64`, `capi:authenc(hmac(sha256),xts(aes))-random`.
    let words = encryption.flat_map(|text| text.split(|c: char| !c.is_ascii_alphanumeric()));
    for word in words.filter(|word| !word.is_empty()) {
        let Some(Found::Modules(names)) = machine.index.find_alias(&format!("crypto-{word}"))
        else {
            continue;
        };
        for name in names {
            let loaded = Path::new("/sys/module").join(module_name(&name));
            if !machine.same_kernel || machine.root.exists(loaded) {
                wanted.push(Wanted::optional(name, format!("{why}, by {word}")));
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests;
