//! Makes the book of docs/ with mdBook, and follows its links: `cargo run` writes it to target/book.
//!
//! A warning of mdBook, a link to a page that is not there and a link to a heading that is not there are
//! errors.

mod links;
mod warnings;

use anyhow::{Context, Result};
use mdbook_driver::MDBook;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = root();
    let out = root.join("target/book");
    match make(&root.join("docs"), &out) {
        Ok(wrong) if wrong.is_empty() => {
            println!("{}", out.join("index.html").display());
            ExitCode::SUCCESS
        }
        Ok(wrong) => {
            wrong.iter().for_each(|line| eprintln!("{line}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..").canonicalize().unwrap_or(here.to_owned())
}

/// Makes the book of `docs` in `out`; answers what is wrong with it, a line each.
fn make(docs: &Path, out: &Path) -> Result<Vec<String>> {
    let mut wrong = warnings::during(|| -> Result<()> {
        let mut book = MDBook::load(docs)?;
        out.clone_into(&mut book.config.build.build_dir);
        book.build()
    })
    .with_context(|| format!("Cannot make the book of {}", docs.display()))?;
    wrong.extend(links::dead(out)?);
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_book_is_made_without_a_warning_and_its_links_lead_somewhere() {
        let out = tempfile::tempdir().unwrap();
        let wrong = make(&root().join("docs"), out.path()).unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(out.path().join("formats/pages-map.html").exists());
    }

    #[test]
    fn what_is_wrong_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let docs = dir.path().join("docs");
        fs::create_dir(&docs).unwrap();
        let write = |name: &str, text: &str| fs::write(docs.join(name), text).unwrap();
        write("book.toml", "[book]\ntitle = \"t\"\nsrc = \".\"\n");
        write("SUMMARY.md", "# Summary\n\n- [A](a.md)\n- [B](b.md)\n");
        write("b.md", "# B\n\n## Two words\n\n[up](#two-words)\n");
        let made = |text: &str| {
            write("a.md", text);
            make(&docs, &dir.path().join("out")).unwrap()
        };
        let good = made("# A\n\n[b](b.md) [c](b.md#two-words) [d](https://example.org/x)\n");
        assert_eq!(good, [""; 0]);
        for (text, named) in [
            ("# A\n\n[b](no-page.md)\n", "no-page"),
            ("# A\n\n[b](b.md#no-heading)\n", "no-heading"),
            ("# A\n\n[b](#nothing)\n", "nothing"),
            ("# A\n\n[b](../Cargo.toml)\n", "outside"),
            ("# A\n\n<b>never closed\n", "unclosed"),
        ] {
            let wrong = made(text).join("\n");
            assert!(wrong.contains(named), "{text}: {wrong}");
        }
    }
}
