//! Checks of values that several sections share.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer};

use crate::error::ValueError;
use crate::units::Time;

pub(super) fn absolute<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(d)?;
    check_absolute(&path).map_err(serde::de::Error::custom)?;
    Ok(path)
}

pub(super) fn absolute_if_set<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<PathBuf>, D::Error> {
    absolute(d).map(Some)
}

pub(super) fn absolute_list<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PathBuf>, D::Error> {
    let paths = Vec::<PathBuf>::deserialize(d)?;
    for path in &paths {
        check_absolute(path).map_err(serde::de::Error::custom)?;
    }
    Ok(paths)
}

pub(super) fn check_absolute(path: &Path) -> Result<(), ValueError> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    if path.is_absolute() && !climbs {
        Ok(())
    } else {
        Err(ValueError::NotTaken {
            value: format!("\"{}\"", path.display()),
            choices: "an absolute path without \"..\"",
        })
    }
}

pub(super) fn positive<'de, D: Deserializer<'de>>(d: D) -> Result<Time, D::Error> {
    let time = Time::deserialize(d)?;
    if time.0 == 0 {
        return Err(serde::de::Error::custom(
            "a deadline of 0 would give up at once; write it like \"30min\"",
        ));
    }
    Ok(time)
}

/// An absolute path, or `"none"`.
pub(super) mod path_or_none {
    use super::{Deserialize, Deserializer, PathBuf, check_absolute};
    use serde::de::Error;
    use serde::{Serialize, Serializer};

    const NONE: &str = "none";

    #[allow(clippy::ref_option)] // the signature is serde's
    pub(in super::super) fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        s: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => path.serialize(s),
            None => s.serialize_str(NONE),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        d: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let path = PathBuf::deserialize(d)?;
        if path.as_os_str() == NONE {
            return Ok(None);
        }
        check_absolute(&path).map_err(D::Error::custom)?;
        Ok(Some(path))
    }
}
