//! A raw target: whether the core fits on the device, and into the directory that `collect` makes of it.

use plan::{Filesystem, Layer};
use store::raw::Stream;

use super::finding::{Examined, Finding, Level, finding, size};
use super::space::space;
use crate::root;
use crate::stores;

const CHECK: &str = "target";

/// The findings on one of the plan's targets, which is the config's target `at`.
pub(super) fn check(
    on: &Examined<'_>,
    fs: &Filesystem,
    at: Option<usize>,
    needed: Option<u64>,
) -> Vec<Finding> {
    let (name, sectors) = device(fs);
    let bytes = sectors.saturating_mul(512);
    let mut out = Vec::new();
    let text = match needed {
        Some(needed) => format!(
            "{name}: raw, {}, about {} needed",
            size(bytes),
            size(needed)
        ),
        None => format!("{name}: raw, {}", size(bytes)),
    };
    out.push(
        match needed.is_some_and(|needed| bytes > 0 && bytes < needed) {
            true => finding(
                CHECK,
                Level::Warn,
                format!("{text}: the core would be written at a smaller level"),
            )
            .fix("name a larger device, or another [[target]], in /etc/afterpanic.toml"),
            false => finding(CHECK, Level::Ok, text),
        },
    );
    let target = at.and_then(|at| on.config.target.get(at));
    let node = target.and_then(stores::raw_device);
    let stream = node.map(|node| Stream::open(&root::under(on.root, node), false));
    if let Some(Ok(Some(stream))) = stream {
        let crash = stream.directory().unwrap_or("a crash").to_owned();
        out.push(
            finding(
                CHECK,
                Level::Warn,
                format!(
                    "{name} holds {crash}, which was not collected: the next crash takes its place"
                ),
            )
            .fix("sudo afterpanic collect"),
        );
    }
    let path = std::path::Path::new(&fs.path);
    let name = format!("{}: collect writes here what {name} holds", path.display());
    out.push(space(on, path, &name, needed));
    out
}

/// The device as it is called here, and its sectors where they are known.
fn device(fs: &Filesystem) -> (String, u64) {
    match fs.stack.first() {
        Some(Layer::Partition { name, sectors, .. } | Layer::Disk { name, sectors, .. }) => {
            (name.clone(), *sectors)
        }
        Some(Layer::Dm(dm)) => {
            let sectors = dm.table.iter().map(|segment| segment.sectors).sum();
            (dm.name.clone(), sectors)
        }
        Some(Layer::Md { name, .. }) => (name.clone(), 0),
        None => ("the device".to_owned(), 0),
    }
}
