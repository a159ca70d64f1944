//! Whether a dump's kernel hangs together: the quick questions that a wrong address translation or a
//! core of mixed-up pages cannot answer right.
//!
//! Facts: `linux_banner` (init/version.c, every version) begins with "Linux version " and the
//! release that vmcoreinfo names; the kernel image is mapped by the page tables where phys_base says
//! it is (arch/x86/kernel/head_64.S, 5.10 to 7.x).

use super::{Kernel, chain};
use crate::addr::PAGE_SIZE;
use crate::arch::paging::WalkError;

/// Pages of the image mapping that are compared, spread over it.
const SAMPLES: u64 = 256;

/// One question and its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sanity {
    /// What was asked.
    pub what: &'static str,
    /// The answer.
    pub answer: Outcome,
}

/// How a question came out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should be; the words say how much was looked at.
    Agrees(String),
    /// Not as it should be; the words say what is wrong.
    Differs(String),
    /// What it takes is not in the dump or not known; the words say what.
    NotChecked(String),
}

impl Outcome {
    /// Whether all is well. What was not checked is not.
    #[must_use]
    pub fn agrees(&self) -> bool {
        matches!(self, Self::Agrees(_))
    }

    /// The words: how much was looked at, what is wrong, or what is missing.
    #[must_use]
    pub fn detail(&self) -> &str {
        let (Self::Agrees(words) | Self::Differs(words) | Self::NotChecked(words)) = self;
        words
    }
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

fn banner(kernel: &Kernel) -> Outcome {
    let at = match kernel.symbol("linux_banner") {
        Ok(at) => at,
        Err(why) => return Outcome::NotChecked(chain(&why)),
    };
    let text = match kernel.read_cstr(at, 512) {
        Ok(text) => text,
        Err(why) => return Outcome::NotChecked(chain(&why)),
    };
    let text = String::from_utf8_lossy(&text);
    let Some(release) = kernel.vmcoreinfo().osrelease() else {
        return Outcome::NotChecked("VMCOREINFO names no release".into());
    };
    if text.starts_with(&format!("Linux version {release} ")) {
        return Outcome::Agrees(release.to_string());
    }
    let start: String = text.chars().take(60).collect();
    Outcome::Differs(format!(
        "it reads {start:?} and vmcoreinfo says {release:?}"
    ))
}

fn kernel_image(kernel: &Kernel) -> Outcome {
    if !kernel.layout().image_in_tables {
        // The layout rests on the kernel's name there.
        return Outcome::Agrees("no tables map it; its own name is there".into());
    }
    let bounds = [kernel.symbol("_stext"), kernel.symbol("_end")];
    let (start, end) = match bounds {
        [Ok(start), Ok(end)] => (start, end),
        [Err(why), _] | [_, Err(why)] => return Outcome::NotChecked(chain(&why)),
    };
    let Some(paging) = kernel.memory().paging() else {
        return Outcome::NotChecked("the dump does not say where the page tables are".into());
    };
    let pages = end.0.saturating_sub(start.0) / PAGE_SIZE;
    let step = (pages / SAMPLES).max(1);
    let (mut same, mut page) = (0_u64, 0_u64);
    let mut lacking = None;
    while page < pages {
        let va = start.wrapping_add(page.saturating_mul(PAGE_SIZE));
        page = page.saturating_add(step);
        let walked = match paging.walk(&**kernel.dump(), va) {
            Ok(walked) => walked,
            Err(why @ WalkError::Table { .. }) => {
                lacking = Some(chain(&why));
                continue;
            }
            // Freed init sections are unmapped: absent is no contradiction.
            Err(_) => continue,
        };
        let told = kernel.layout().image.phys(va);
        if told != walked.phys {
            return Outcome::Differs(format!(
                "{va} is at {} by the tables and at {told} by phys_base",
                walked.phys
            ));
        }
        same = same.saturating_add(1);
    }
    match (same, lacking) {
        (0, Some(why)) => Outcome::NotChecked(why),
        (0, None) => Outcome::Differs(format!("nothing of {start} to {end} is mapped")),
        (same, _) => Outcome::Agrees(format!("{same} pages compared")),
    }
}
