//! The proof a passed rehearsal leaves: what was proved, and what makes it void.
//!
//! It goes into the state file that `afterpanic status` reads. It holds for one kernel, one image and
//! one config, whose digests are taken before the rehearsal; a change of any of them voids it.

use crate::session::Session;
use crate::verdict::Verdict;
use initramfs::build::{self, Request};
use loader::proof::{Proof, Proven, image_path};
use std::io;
use std::path::Path;

/// What a rehearsal on the machine of `request` depends on: the kernel and the config as files, and
/// the image that `afterpanic load` would build, whether or not it has. Without that image's digest
/// the reason comes along.
///
/// # Errors
/// The kernel or the config cannot be read.
pub fn with(
    request: &Request,
    release: &str,
    kernel: &Path,
    config: &Path,
) -> io::Result<(Vec<Proven>, Option<String>)> {
    let mut with = vec![Proven::file(&request.root, "kernel", kernel)?];
    let mut request = request.clone();
    request.kernel = Some(release.to_owned());
    let why = match build::build(&request) {
        Ok(image) => {
            with.push(Proven::bytes("image", &image_path(release), &image.bytes));
            None
        }
        Err(why) => Some(why.to_string()),
    };
    with.push(Proven::file(&request.root, "config", config)?);
    Ok((with, why))
}

/// The proof of a verdict, made at `now` (seconds since 1970).
#[must_use]
pub fn of(session: &Session, verdict: &Verdict, with: Vec<Proven>, now: i64) -> Proof {
    Proof {
        by: "rehearse".into(),
        at: now,
        release: session.kernel.release.clone(),
        passed: verdict.passed,
        summary: summary(verdict),
        peak: verdict.peak,
        with,
    }
}

/// One line: `a complete core of 38 MiB, 15 s after the panic, crashkernel=96M`.
#[must_use]
pub fn summary(verdict: &Verdict) -> String {
    match (&verdict.core, verdict.wrong.first()) {
        (_, Some(wrong)) => wrong.clone(),
        (Some(core), None) => {
            let after = verdict
                .moments
                .core
                .map_or_else(String::new, |s| format!(", {s:.0} s after the panic"));
            format!(
                "a {} core of {} MiB{after}, crashkernel={}",
                core.saved,
                core.bytes.div_ceil(1 << 20),
                verdict.crashkernel
            )
        }
        (None, None) => "no core".into(),
    }
}
