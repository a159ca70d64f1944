//! The lines of depmod's text files and of the kernel's `modules.builtin*`.

use super::error::LineError;
use super::name::name_of;

/// One line of `modules.dep`: a path and the paths it needs.
pub(super) struct Dep<'a> {
    pub path: &'a str,
    pub needs: Vec<&'a str>,
}

/// `path: path path`; what is wrong with the line otherwise.
pub(super) fn dep(line: &str) -> Result<Dep<'_>, LineError> {
    let (path, needs) = line.split_once(':').ok_or(LineError::NoColon)?;
    let needs: Vec<&str> = needs.split_ascii_whitespace().collect();
    for path in std::iter::once(&path).chain(&needs) {
        if !is_module(path) {
            return Err(LineError::Path((*path).to_owned()));
        }
    }
    Ok(Dep { path, needs })
}

/// Whether this can be the path of a module, inside its folder or absolute.
fn is_module(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let suffix = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"]
        .iter()
        .any(|suffix| file.len() > suffix.len() && file.ends_with(suffix));
    suffix
        && path.bytes().all(|b| b.is_ascii_graphic())
        && !path.split('/').any(|part| part == "..")
}

/// The words after the module's name in a softdep, split into what comes before and after it.
///
/// Words before any "pre:" or "post:" count as "pre", as old modules wrote them.
pub(super) fn softdep<'a>(words: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<String>) {
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    let mut after = false;
    for word in words {
        match word {
            "pre:" => after = false,
            "post:" => after = true,
            name if after => post.push(name.to_owned()),
            name => pre.push(name.to_owned()),
        }
    }
    (pre, post)
}

/// `name.key=value` of `modules.builtin.modinfo`.
pub(super) fn modinfo(record: &str) -> Option<(String, &str, &str)> {
    let (name, rest) = record.split_once('.')?;
    let (key, value) = rest.split_once('=')?;
    Some((name_of(name), key, value))
}
