//! `afterpanic image`: builds the capture kernel's image, and looks into images.

use std::io::Write;
use std::path::PathBuf;

use initramfs::build::{self, Request};
use initramfs::cache::{self, Outcome};
use initramfs::cpio::Kind;
use initramfs::read::{Contents, extract, is_private};
use initramfs::root::Root;
use initramfs::{binary, kernel, why};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{self, Context};

/// Arguments of `image`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// Build the image if a file that goes into it changed
    Build(Build),
    /// List the files of an image, and which device asked for each
    List(List),
    /// Print one file of an image
    Show {
        /// The file's path in the image, such as /plan.json
        file: String,
        /// The image [default: the one kept for the capture kernel]
        image: Option<PathBuf>,
    },
    /// Check whether an image still fits kernel, modules, config and target
    Check {
        /// The image [default: the one kept for the capture kernel]
        image: Option<PathBuf>,
        #[command(flatten)]
        machine: Machine,
        /// Print one JSON object (docs/json.md)
        #[arg(long)]
        json: bool,
    },
    /// Write an image's files into a new directory
    Extract {
        /// The directory; it must not exist yet
        dir: PathBuf,
        /// The image [default: the one kept for the capture kernel]
        image: Option<PathBuf>,
    },
}

/// What an image is for.
#[derive(clap::Args, Debug)]
struct Machine {
    /// Release of the capture kernel [default: from the config]
    #[arg(long, value_name = "KVER")]
    kernel: Option<String>,
    /// Directory that holds lib/modules [default: /]
    #[arg(long, value_name = "DIR")]
    modules_root: Option<PathBuf>,
    /// Drivers and filesystems by name, for another machine: virtio_blk,ext4
    #[arg(long = "for", value_name = "NAMES", value_delimiter = ',')]
    drivers: Option<Vec<String>>,
}

#[derive(clap::Args, Debug)]
struct Build {
    #[command(flatten)]
    machine: Machine,
    /// Write the image here [default: where `afterpanic load` looks for it]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args, Debug)]
struct List {
    /// The image, of any suite [default: the one kept for the capture kernel]
    image: Option<PathBuf>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
}

/// Runs `image`.
pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.what {
        What::Build(args) => build(args, context),
        What::List(args) => {
            let path = kept(args.image.as_ref(), None, context)?;
            list(&path, args.json, context)
        }
        What::Show { file, image } => {
            let contents = Contents::open(&kept(image.as_ref(), None, context)?)?;
            if is_private(file) {
                anyhow::bail!("{file} is a private key, which is never shown");
            }
            let mut out = output::raw();
            out.write_all(&contents.file(file)?)?;
            out.flush()?;
            Ok(Exit::Done)
        }
        What::Check {
            image,
            machine,
            json,
        } => {
            let path = kept(image.as_ref(), machine.kernel.as_ref(), context)?;
            check(&path, machine, *json, context)
        }
        What::Extract { dir, image } => {
            let contents = Contents::open(&kept(image.as_ref(), None, context)?)?;
            let done = extract(&contents, dir)?;
            let mut out = output::stdout();
            writeln!(out, "{} files in {}", done.files, dir.display())?;
            if done.skipped > 0 {
                writeln!(out, "{} device nodes left out", done.skipped)?;
            }
            if done.private > 0 {
                writeln!(out, "{} private keys left out", done.private)?;
            }
            Ok(Exit::Done)
        }
    }
}

impl Machine {
    fn request(&self, context: &Context) -> anyhow::Result<Request> {
        let mut request = Request::new(&context.root, context.load_config()?, binary::find()?);
        request.kernel.clone_from(&self.kernel);
        request.modules_root.clone_from(&self.modules_root);
        request.drivers.clone_from(&self.drivers);
        Ok(request)
    }
}

/// The image that was named, or the one that is kept for the capture kernel.
fn kept(
    named: Option<&PathBuf>,
    release: Option<&String>,
    context: &Context,
) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        return Ok(path.clone());
    }
    let release = match release {
        Some(release) => release.clone(),
        None => {
            let choice = context.load_config()?.capture_kernel.kernel;
            kernel::chosen(&Root::new(&context.root), &choice)?
        }
    };
    Ok(cache::path(&context.root, &release))
}

#[derive(Serialize)]
struct Built {
    path: PathBuf,
    rebuilt: bool,
    because: Option<String>,
}

fn build(args: &Build, context: &Context) -> anyhow::Result<Exit> {
    loader::arch::check()?;
    let request = args.machine.request(context)?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => {
            let prepared = build::prepare(&request)?;
            cache::path(&context.root, prepared.release())
        }
    };
    let ensured = cache::ensure(&request, &path)?;
    let because = match ensured.outcome {
        Outcome::Kept => None,
        Outcome::Built(why) => Some(why),
    };
    let left_out: Vec<String> = ensured.left_out.iter().map(ToString::to_string).collect();
    let exit = match left_out.is_empty() {
        true => Exit::Done,
        false => Exit::Degraded,
    };
    let built = Built {
        path,
        rebuilt: because.is_some(),
        because,
    };
    if args.json {
        output::json("afterpanic.image-build/1", &left_out, &built)?;
        return Ok(exit);
    }
    left_out.iter().for_each(|warning| context.warn(warning));
    match &built.because {
        Some(why) => context.hint(&format!("{}: built ({why})", built.path.display())),
        None => context.hint(&format!("{}: nothing changed", built.path.display())),
    }
    list(&built.path, false, context)?;
    Ok(exit)
}

#[derive(Serialize)]
struct Listed {
    path: PathBuf,
    bytes: u64,
    sections: Vec<ListedSection>,
    files: Vec<ListedFile>,
    why: Option<why::Why>,
}

#[derive(Serialize)]
struct ListedSection {
    compression: &'static str,
    bytes: u64,
    unpacked: u64,
}

#[derive(Serialize)]
struct ListedFile {
    path: String,
    mode: String,
    bytes: u64,
    why: Option<String>,
}

fn list(path: &std::path::Path, json: bool, context: &Context) -> anyhow::Result<Exit> {
    let contents = Contents::open(path)?;
    let why = contents.why()?;
    let reason = |path: &str| {
        let file = why.as_ref()?.files.iter().find(|file| file.path == path)?;
        Some(file.why.clone())
    };
    let mut files = Vec::new();
    for entry in contents.entries()? {
        if json || matches!(entry.kind(), Kind::File | Kind::Symlink) {
            files.push(ListedFile {
                mode: format!("{:o}", entry.mode),
                bytes: entry.data.len() as u64,
                why: reason(&entry.path),
                path: format!("/{}", entry.path),
            });
        }
    }
    let listed = Listed {
        path: path.to_owned(),
        bytes: contents
            .sections()
            .iter()
            .map(|section| section.packed)
            .sum(),
        sections: contents
            .sections()
            .iter()
            .map(|section| ListedSection {
                compression: section.compression,
                bytes: section.packed,
                unpacked: section.unpacked(),
            })
            .collect(),
        files,
        why,
    };
    let notes = listed.why.as_ref().map_or(&[][..], |why| &why.notes);
    if json {
        output::json("afterpanic.image-list/1", notes, &listed)?;
        return Ok(Exit::Done);
    }
    print(&listed)?;
    for note in notes {
        context.hint(note);
    }
    Ok(Exit::Done)
}

fn print(listed: &Listed) -> anyhow::Result<()> {
    let mut out = output::stdout();
    // An image of ours is packed in parts, which are nobody's business here.
    let alike = |a: &ListedSection, b: &ListedSection| a.compression == b.compression;
    for sections in listed.sections.chunk_by(alike) {
        let Some(first) = sections.first() else {
            continue;
        };
        writeln!(
            out,
            "{} ({}), {} unpacked",
            output::size(sections.iter().map(|section| section.bytes).sum()),
            first.compression,
            output::size(sections.iter().map(|section| section.unpacked).sum()),
        )?;
    }
    let width = listed
        .files
        .iter()
        .map(|file| file.path.len())
        .max()
        .unwrap_or(0)
        .min(60);
    for file in &listed.files {
        let why = file.why.as_deref().unwrap_or("");
        let size = output::size(file.bytes);
        writeln!(out, "  {:width$}  {size:>9}  {why}", file.path)?;
    }
    if let Some(why) = &listed.why {
        for (name, why) in &why.builtin {
            writeln!(out, "  {name:width$}  in kernel  {why}")?;
        }
        writeln!(
            out,
            "for Linux {}, by afterpanic {}",
            why.release, why.made_by
        )?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Checked {
    path: PathBuf,
    fits: bool,
    because: Option<String>,
}

fn check(
    path: &std::path::Path,
    machine: &Machine,
    json: bool,
    context: &Context,
) -> anyhow::Result<Exit> {
    let prepared = build::prepare(&machine.request(context)?)?;
    let because = cache::stale(path, prepared.inputs());
    let checked = Checked {
        path: path.to_owned(),
        fits: because.is_none(),
        because,
    };
    if json {
        output::json("afterpanic.image-check/1", &[], &checked)?;
    } else {
        let mut out = output::stdout();
        match &checked.because {
            None => writeln!(out, "{}: fits", path.display())?,
            Some(why) => {
                writeln!(out, "{}: stale ({why})", path.display())?;
                context.hint("Next: afterpanic image build");
            }
        }
    }
    Ok(if checked.fits { Exit::Done } else { Exit::No })
}
