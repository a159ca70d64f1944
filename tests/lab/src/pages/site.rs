//! The static site of `afterpanic-fleet page` in the same browser: width, colours, names, links, the console.

use super::{FAINT, HEIGHT, NAMELESS, STICKS_OUT, TALLEST, WIDTHS, is, nothing, picture};
use crate::browser::Browser;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Pages of a site that are looked at.
const MOST: usize = 12;
/// Where the links of a page lead, as they are written.
const LINKS: &str = "[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))";

/// Looks at a site. True when all holds.
///
/// # Errors
/// The browser cannot be fetched or driven, or there is no site.
pub fn run(dir: &Path) -> Result<bool> {
    let pictures = crate::cache().join("pages");
    fs::create_dir_all(&pictures)?;
    let dir = fs::canonicalize(dir).with_context(|| format!("No site in {}", dir.display()))?;
    let mut browser = Browser::start()?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(&dir)? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(names.contains("index.html"), "no index.html");
    let mut failed = 0;
    let looked: Vec<&String> = names.iter().take(MOST).collect();
    for name in &looked {
        match look(&mut browser, &dir, name, &names, &pictures) {
            Ok(links) => println!("ok      {name}, {links} links"),
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}: {why:#}");
            }
        }
    }
    let followed = follow(&mut browser, &dir);
    failed += usize::from(followed.is_err());
    match followed {
        Ok(()) => println!("ok      there and back by links"),
        Err(why) => println!("FAILED  there and back by links: {why:#}"),
    }
    println!("{} passed, {failed} failed", looked.len() + 1 - failed);
    Ok(failed == 0)
}

/// Everything that is asked of one page; how many links it has.
fn look(
    browser: &mut Browser,
    dir: &Path,
    name: &str,
    names: &BTreeSet<String>,
    pictures: &Path,
) -> Result<usize> {
    for scheme in ["light", "dark"] {
        browser.scheme(scheme)?;
        for width in WIDTHS {
            browser.resize(width, HEIGHT)?;
            browser.open(&dir.join(name))?;
            let shown = || format!("{scheme}, {width} pixels");
            nothing(browser, STICKS_OUT, "sticks out").with_context(shown)?;
            let at = picture(pictures, &format!("site-{name}-{width}-{scheme}"));
            browser.screenshot(&at, TALLEST)?;
        }
        nothing(browser, FAINT, "is hard to read").context(scheme)?;
    }
    nothing(browser, NAMELESS, "has no name")?;
    is(browser, "document.scripts.length", &json!(0))?;
    let links = browser.evaluate(LINKS)?;
    let links = links.as_array().context("no list of links")?;
    for link in links {
        let link = link.as_str().context("a link without an address")?;
        let there = names.contains(link) || link.starts_with("https://");
        ensure!(there, "a link leads nowhere: {link}");
    }
    ensure!(!links.is_empty(), "no link");
    let said = browser.said();
    ensure!(said.is_empty(), "on the console: {}", said.join("\n"));
    Ok(links.len())
}

/// From the overview to the first signature and back, as somebody with a mouse.
fn follow(browser: &mut Browser, dir: &Path) -> Result<()> {
    browser.open(&dir.join("index.html"))?;
    let name = browser.evaluate("document.querySelector('td a').textContent")?;
    browser.click("td a")?;
    is(
        browser,
        "document.querySelector('.where').textContent",
        &name,
    )?;
    browser.click("a[href='index.html']")?;
    is(
        browser,
        "document.querySelectorAll('td a').length > 0",
        &json!(true),
    )
}
