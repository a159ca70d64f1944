//! `[dump]`: what is saved, and in which form.

use dump::Level;
use dump::seal::{Recipient, Scope};
use dump::settings::ManifestWords;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use vmcore::write::{Effort, OutputFormat};

use super::auto::Auto;
use crate::units::Size;

/// `[dump]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dump {
    /// Which pages of memory the core holds: `"all"`; `"standard"`, which leaves out free, zero, cache and
    /// user pages (makedumpfile -d 31); `"essential"`, only kernel, stacks, tasks and log; or
    /// makedumpfile's bits, 0 to 31.
    ///
    /// Example: `level = "all"`
    #[serde(with = "level")]
    pub level: Level,
    /// The format of the core. `"elf-zst"`: `zstd -d` unpacks it to a plain ELF core. `"elf-lz4"`: faster
    /// to write, larger. `"elf"`: not compressed. `"kdump-zstd"` and `"kdump-zlib"`: crash and drgn open
    /// them directly. `"none"`: no core, only log, report and essential pages.
    ///
    /// Example: `format = "kdump-zstd"`
    #[serde(with = "format")]
    pub format: Option<OutputFormat>,
    /// Kinds of pages that are kept whatever the level says. `afterpanic pages --kinds` lists the names.
    ///
    /// Example: `keep_kinds = ["hugetlb"]`
    #[serde(deserialize_with = "kinds")]
    pub keep_kinds: Vec<String>,
    /// Kinds of pages that are never written, whatever the level says. If any is set, pages of an unknown
    /// kind are not written either.
    ///
    /// Example: `never = ["user"]`
    #[serde(deserialize_with = "kinds")]
    pub never: Vec<String>,
    /// If the core cannot be written as the level asks, copy everything that fits, without the page filter.
    ///
    /// Example: `allow_unfiltered = true`
    pub allow_unfiltered: bool,
    /// The largest core, by an estimate made before it is written; the file can come out a tenth larger.
    /// A core that would be larger is written at level standard; if that is too large, too, only the
    /// essential pages are kept. `"none"`: no limit.
    ///
    /// Example: `max_size = "20GiB"`
    #[serde(with = "or_none")]
    pub max_size: Option<Size>,
    /// The largest essential.elf.zst.
    ///
    /// Example: `essential_max = "64MiB"`
    pub essential_max: Size,
    /// Keep essential.elf.zst beside a complete core.
    ///
    /// Example: `keep_essential = true`
    pub keep_essential: bool,
    /// Seal what the capture kernel writes to these age keys: `age1…`, as age-keygen prints them. Each key
    /// opens the files alone. Empty: nothing is sealed. See sealed-files.md.
    ///
    /// Example: `recipients = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]`
    pub recipients: Vec<Recipient>,
    /// Which files are sealed, if any are. `"all"`: cores, log, reports, page map, firmware's records.
    /// `"core"`: only the core and the essential pages.
    ///
    /// Example: `seal = "core"`
    pub seal: Scope,
    /// What manifest.json says in clear where files are sealed. `"full"`: release, kind of crash,
    /// signature and uptime, too, so that `afterpanic list`, the loop guard and a fleet's index work.
    /// `"minimal"`: not these. Times, sizes, hashes, page counts, steps and soft errors stay in clear.
    ///
    /// Example: `manifest = "minimal"`
    pub manifest: ManifestWords,
    /// What the names of crash directories begin with, in place of the host's name: letters, digits, dots, dashes
    /// and underscores, 64 at most. Use it where several machines have one host name.
    ///
    /// Example: `host_tag = "fra1-rack7-web03"`
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "tag")]
    pub host_tag: Option<String>,
    /// Threads that compress. `"auto"`: as many as the CPUs and the memory of the capture kernel allow.
    ///
    /// Example: `threads = 2`
    pub threads: Auto<u32>,
    /// How much processor time compression gets, from 1 (fastest) to 4 (smallest file). `"auto"`: as much as the
    /// device leaves time for. A number makes the same file of the same pages. Formats other than `elf-zst` know no
    /// steps.
    ///
    /// Example: `effort = 3`
    #[serde(deserialize_with = "effort")]
    pub effort: Auto<u32>,
    /// Heap and stacks of the process that writes the core. `"auto"`: a third of the capture kernel's free
    /// memory, at least 8 MiB, at most 256 MiB.
    ///
    /// Example: `worker_memory = "48MiB"`
    pub worker_memory: Auto<Size>,
}

/// The defaults are those of the plan: [`dump::Dump`].
impl Default for Dump {
    fn default() -> Self {
        let plan = dump::Dump::default();
        Self {
            level: plan.level,
            format: plan.format,
            keep_kinds: plan.keep_kinds,
            never: plan.never,
            allow_unfiltered: plan.allow_unfiltered,
            max_size: plan.max_size.map(Size),
            essential_max: Size(plan.essential_max),
            keep_essential: plan.keep_essential,
            recipients: plan.recipients,
            seal: plan.seal,
            manifest: plan.manifest,
            host_tag: plan.host_tag,
            threads: plan.threads.into(),
            effort: plan.effort.into(),
            worker_memory: plan.worker_memory.map(Size).into(),
        }
    }
}

fn effort<'de, D: Deserializer<'de>>(d: D) -> Result<Auto<u32>, D::Error> {
    let effort = Auto::deserialize(d)?;
    match effort {
        Auto::Set(step) if Effort::new(step).is_none() => Err(D::Error::custom(
            "effort is \"auto\" or a number from 1 (fastest) to 4 (smallest)",
        )),
        _ => Ok(effort),
    }
}

/// A name that a crash directory's name can begin with as it is.
fn tag<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let tag = String::deserialize(d)?;
    match store::names::reduce(tag.as_bytes()) == tag {
        true => Ok(Some(tag)),
        false => Err(serde::de::Error::custom(format!(
            "\"{tag}\" is no host tag: it wants letters, digits, dots, dashes and underscores, 64 at most, and no dot at its beginning"
        ))),
    }
}

fn kinds<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let kinds = Vec::<String>::deserialize(d)?;
    let known = dump::policy::names();
    for kind in &kinds {
        if !known.contains(&kind.as_str()) {
            return Err(serde::de::Error::custom(format!(
                "unknown page kind `{kind}`, expected one of `{}`",
                known.join("`, `")
            )));
        }
    }
    Ok(kinds)
}

/// A level: a name, or makedumpfile's bits as a number.
mod level {
    use dump::Level;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::scalar::Scalar;

    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature is serde's
    pub(super) fn serialize<S: Serializer>(level: &Level, s: S) -> Result<S::Ok, S::Error> {
        let name = level.to_string();
        match name.parse() {
            Ok(bits) => Scalar::Number(bits),
            Err(_) => Scalar::Word(name),
        }
        .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Level, D::Error> {
        let value = Scalar::deserialize(d)?;
        let level = match &value {
            Scalar::Word(word) => Level::parse(word),
            Scalar::Number(bits) => Level::parse(&bits.to_string()),
        };
        level.ok_or_else(|| {
            D::Error::custom(format!(
                "{value} is no level; known: \"all\", \"standard\", \"essential\", or the bits 0 to 31"
            ))
        })
    }
}

/// The name of a format, or `"none"`.
mod format {
    use dump::settings::{NO_CORE, format_from_name, format_name};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use vmcore::write::OutputFormat;

    #[allow(clippy::ref_option)] // the signature is serde's
    pub(super) fn serialize<S: Serializer>(
        format: &Option<OutputFormat>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        s.serialize_str(format_name(*format))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<OutputFormat>, D::Error> {
        let name = String::deserialize(d)?;
        format_from_name(&name).ok_or_else(|| {
            let known: Vec<&str> = OutputFormat::ALL
                .into_iter()
                .map(OutputFormat::name)
                .chain([NO_CORE])
                .collect();
            D::Error::custom(format!(
                "unknown variant `{name}`, expected one of `{}`",
                known.join("`, `")
            ))
        })
    }
}

/// `"none"` for an absent size.
mod or_none {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::scalar::Scalar;
    use crate::units::Size;

    #[allow(clippy::ref_option)] // the signature is serde's
    pub(super) fn serialize<S: Serializer>(size: &Option<Size>, s: S) -> Result<S::Ok, S::Error> {
        size.map_or_else(|| Scalar::Word("none".into()), Scalar::from)
            .serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Size>, D::Error> {
        match Scalar::deserialize(d)? {
            Scalar::Word(word) if word == "none" => Ok(None),
            other => Size::try_from(other).map(Some).map_err(D::Error::custom),
        }
    }
}
