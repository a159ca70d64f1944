//! `page`: a static site of the index. It needs no server and no script.

mod chart;
mod gather;
mod parts;

use crate::config::Fleet;
use crate::output;
use crate::{End, ask, cli};
use anyhow::{Context, Result, bail};
use gather::Gathered;
use parts::Links;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

/// What our pages have in their head.
const MARK: &str = "<meta name=\"generator\" content=\"afterpanic-fleet\">";

/// Runs the verb.
pub(crate) async fn run(options: &cli::Page, fleet: &Fleet) -> Result<End> {
    let bucket = crate::bucket(options.bucket.as_ref(), fleet)?;
    let reports = options
        .reports
        .as_deref()
        .map(|url| url.trim_end_matches('/'));
    if let Some(url) =
        reports.filter(|url| !url.starts_with("https://") && !url.starts_with("http://"))
    {
        bail!("--reports {url}: name an http:// or https:// URL");
    }
    let dir = &options.dir;
    let old = prepare(dir)?;
    let live = ask::live(&bucket, &(options.since.clone(), None)).await?;
    let mut gathered = Gathered::read(&bucket, &live).await?;
    let links = Links {
        base: reports.map(str::to_owned),
    };
    let mut written = BTreeSet::new();
    for (name, counts) in &mut gathered.signatures {
        counts.trim();
        let file = parts::file_of(name);
        write(dir, &file, &parts::signature(name, counts, &links))?;
        written.insert(file);
    }
    write(dir, "index.html", &parts::overview(&gathered, bucket.url()))?;
    for file in old.difference(&written) {
        let _ = fs::remove_file(dir.join(file));
    }
    let mut out = output::out();
    writeln!(out, "{}", dir.join("index.html").display())?;
    out.flush()?;
    Ok(End::Done)
}

/// Makes the directory, or looks at an earlier site: its pages of signatures.
fn prepare(dir: &Path) -> Result<BTreeSet<String>> {
    let shown = || format!("cannot make {}", dir.display());
    fs::create_dir_all(dir).with_context(shown)?;
    let mut pages = BTreeSet::new();
    let mut others = false;
    for entry in fs::read_dir(dir).with_context(shown)? {
        let name = entry
            .with_context(shown)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("s-") && name.ends_with(".html") {
            pages.insert(name);
        } else {
            others |= name != "index.html";
        }
    }
    let index = dir.join("index.html");
    let ours = fs::read_to_string(&index).is_ok_and(|page| page.contains(MARK));
    if !ours && (others || index.exists() || !pages.is_empty()) {
        bail!(
            "{} is not empty, and no earlier site. Name another directory",
            dir.display()
        );
    }
    Ok(pages)
}

/// Writes a page as a whole.
fn write(dir: &Path, name: &str, page: &str) -> Result<()> {
    let (partial, file) = (dir.join(format!("{name}.partial")), dir.join(name));
    let done = fs::write(&partial, page).and_then(|()| fs::rename(&partial, &file));
    done.with_context(|| format!("cannot write {}", file.display()))
}
