//! The links of the book's pages.

use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A page: where its links lead, and what in it can be led to.
struct Page {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// Links that lead nowhere, a line each.
///
/// # Errors
/// The book cannot be read.
pub(crate) fn dead(book: &Path) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    read(book, Path::new(""), &mut pages)?;
    let mut dead = Vec::new();
    for (path, page) in &pages {
        // Its links are relative to an address that the server chooses.
        if path == Path::new("404.html") {
            continue;
        }
        for link in &page.links {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains(':') {
                continue;
            }
            let Some(target) = resolve(path, target) else {
                dead.push(format!(
                    "{}: {link} leads outside of the book",
                    path.display()
                ));
                continue;
            };
            let known = match pages.get(&target) {
                Some(page) => anchor.is_empty() || page.anchors.contains(anchor),
                None => book.join(&target).is_file(),
            };
            if !known {
                dead.push(format!("{}: {link} leads nowhere", path.display()));
            }
        }
    }
    Ok(dead)
}

/// Reads every page below `dir`.
fn read(book: &Path, dir: &Path, pages: &mut BTreeMap<PathBuf, Page>) -> Result<()> {
    let here = book.join(dir);
    let entries = fs::read_dir(&here).with_context(|| format!("Cannot list {}", here.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            read(book, &path, pages)?;
        // One page with all others in it, for printing.
        } else if path.extension().is_some_and(|end| end == "html")
            && path != Path::new("print.html")
        {
            let text = fs::read_to_string(entry.path())?;
            let page = Page {
                links: values(&text, "href").collect(),
                anchors: values(&text, "id").collect(),
            };
            pages.insert(path, page);
        }
    }
    Ok(())
}

/// The values of an attribute.
fn values<'a>(text: &'a str, name: &str) -> impl Iterator<Item = String> + use<'a> {
    let begin = format!(" {name}=\"");
    let parts = text
        .split(&begin)
        .skip(1)
        .map(str::to_owned)
        .collect::<Vec<_>>();
    parts.into_iter().filter_map(|part| {
        let value = part.split('"').next()?;
        Some(value.replace("&amp;", "&"))
    })
}

/// Where a link of a page leads, inside the book.
fn resolve(page: &Path, target: &str) -> Option<PathBuf> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let mut path = page.parent()?.to_owned();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        let from = |page: &str, target: &str| resolve(Path::new(page), target);
        assert_eq!(from("a.html", ""), Some("a.html".into()));
        assert_eq!(from("f/a.html", "../b.html"), Some("b.html".into()));
        assert_eq!(from("f/a.html", "../../b.html"), None);
        assert_eq!(from("a.html", "/b.html"), None);
    }
}
