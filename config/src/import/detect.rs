//! Which suite a file belongs to.

use std::path::Path;

use super::suite::Suite;
use super::{kdump_conf, shell, variables};

/// By what is in the file, else by the file's name.
pub(super) fn suite_of(path: &Path, text: &str) -> Option<Suite> {
    let name = path.file_name()?.to_str()?;
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let assigned = |line: &str| {
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, _) = line.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        shell::is_name(name).then(|| name.to_owned())
    };
    let directive = lines.any(|line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        kdump_conf::knows(word)
    });
    let names: Vec<String> = text.lines().map(str::trim).filter_map(assigned).collect();
    if directive || (name == "kdump.conf" && names.is_empty()) {
        return Some(Suite::KdumpConf);
    }
    let by_name = by_name(path, name);
    let votes = |suite: Suite| {
        let known = names.iter().filter(|name| variables::knows(suite, name));
        known.count()
    };
    let most = Suite::SHELL.map(votes).into_iter().max().unwrap_or(0);
    let winner = |suite: &Suite| votes(*suite) == most;
    match by_name {
        Some(suite) if most == 0 || winner(&suite) => Some(suite),
        // The name of Debian's file is nobody else's.
        Some(Suite::KdumpTools) => Some(Suite::KdumpTools),
        _ if most > 0 => Suite::SHELL.into_iter().find(winner),
        _ => None,
    }
}

fn by_name(path: &Path, name: &str) -> Option<Suite> {
    let parent = path.parent().and_then(Path::file_name);
    match (parent.and_then(|name| name.to_str()), name) {
        (_, "kdump-tools") => Some(Suite::KdumpTools),
        (_, "kdump.conf") => Some(Suite::OpenEmbedded),
        (Some("sysconfig"), "kdump") => Some(Suite::Sysconfig),
        (Some("kdumpst.d" | "kdump.d"), _) | (_, "kdumpst.conf") => Some(Suite::Kdumpst),
        (Some("default"), "kdump") => Some(Suite::Kdumpst),
        _ => None,
    }
}
