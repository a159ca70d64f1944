//! Whether a dump's kernel hangs together: the quick questions that a wrong address translation or a
//! core of mixed-up pages cannot answer right.
//!
//! Facts: `linux_banner` (init/version.c, every version) begins with "Linux version " and the
//! release that vmcoreinfo names; the kernel image is mapped by the page tables where phys_base says
//! it is (arch/x86/kernel/head_64.S, 5.10 to 7.x).

use super::{Kernel, chain};
use crate::addr::{PAGE_SIZE, VirtAddr};

/// Pages of the image mapping that are compared, spread over it.
const SAMPLES: u64 = 256;

/// One question and its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sanity {
    /// What was asked.
    pub what: &'static str,
    /// `Ok` with a number that says how much was looked at, or what is wrong.
    pub answer: Result<String, String>,
}

/// Asks all of them.
#[must_use]
pub fn check(kernel: &Kernel) -> Vec<Sanity> {
    vec![
        Sanity {
            what: "the kernel's banner names the release of vmcoreinfo",
            answer: banner(kernel),
        },
        Sanity {
            what: "the page tables map the kernel image where phys_base says",
            answer: kernel_image(kernel),
        },
    ]
}

fn banner(kernel: &Kernel) -> Result<String, String> {
    let at = kernel.symbol("linux_banner").map_err(|why| chain(&why))?;
    let text = kernel.read_cstr(at, 512).map_err(|why| chain(&why))?;
    let text = String::from_utf8_lossy(&text);
    let release = kernel.vmcoreinfo().osrelease().unwrap_or_default();
    if text.starts_with(&format!("Linux version {release} ")) {
        Ok(release.to_string())
    } else {
        let start: String = text.chars().take(60).collect();
        Err(format!(
            "it reads {start:?} and vmcoreinfo says {release:?}"
        ))
    }
}

fn kernel_image(kernel: &Kernel) -> Result<String, String> {
    let start = kernel.symbol("_stext").map_err(|why| chain(&why))?;
    let end = kernel.symbol("_end").map_err(|why| chain(&why))?;
    let pages = end.0.saturating_sub(start.0) / PAGE_SIZE;
    let step = (pages / SAMPLES).max(1);
    let mut same = 0_u64;
    let mut page = 0_u64;
    while page < pages {
        let va = start.wrapping_add(page.saturating_mul(PAGE_SIZE));
        page = page.saturating_add(step);
        // Freed init sections are unmapped: absent is no contradiction.
        let Ok(walked) = kernel.memory().paging().walk(&**kernel.dump(), va) else {
            continue;
        };
        let told = kernel.translate(va).map_err(|why| chain(&why))?;
        if walked.phys != told {
            return Err(format!(
                "{va} is at {} by the tables and at {told} by phys_base",
                walked.phys
            ));
        }
        same = same.saturating_add(1);
    }
    match same {
        0 => Err(format!(
            "nothing of {start} to {} is mapped",
            VirtAddr(end.0)
        )),
        same => Ok(format!("{same} pages compared")),
    }
}
