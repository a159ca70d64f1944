//! The function at fault, disassembled around the instruction.

use crate::disassembly::disassemble;
use crate::reason::{Location, Reason};
use crate::unwind::{Frame, FrameKind, Trace};
use serde::{Deserialize, Serialize};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// Instructions shown before and behind the one at fault.
const AROUND: usize = 8;
/// Bytes of the largest function that is decoded: instructions can only be told from the start on.
const LONGEST: u64 = 1 << 18;

/// Code around the instruction at fault.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodeAt {
    /// The function.
    pub function: String,
    /// Its module; absent: the kernel image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Its instructions around that one, in order.
    pub lines: Vec<CodeLine>,
}

/// One instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CodeLine {
    /// Bytes from the start of the function.
    pub offset: u64,
    /// It in the GNU assembler's syntax (x86_64: AT&T).
    pub text: String,
    /// What it calls, jumps to or reads, where that has a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The instruction at fault, or the call that did not return.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
}

/// The code at the place to blame, when the stack of the CPU that panicked leads through it.
pub(super) fn read(kernel: &Kernel, trace: Option<&Trace>, reason: &Reason) -> Option<CodeAt> {
    let place = reason.oops.location.as_ref().or(reason.culprit.as_ref())?;
    let frame = trace?.frames.iter().find(|frame| is_at(frame, place))?;
    let symbol = frame.symbol.as_ref()?;
    let start = frame.pc.0.checked_sub(symbol.offset)?;
    let len = usize::try_from(symbol.size.clamp(1, LONGEST)).ok()?;
    let mut bytes = vec![0_u8; len];
    kernel.read(VirtAddr(start), &mut bytes).ok()?;
    let name_of = |va: u64| {
        kernel.resolve(VirtAddr(va)).map(|at| match at.offset {
            0 => at.name,
            offset => format!("{}+{offset:#x}", at.name),
        })
    };
    let rows = disassemble(kernel.arch(), start, &bytes, name_of);
    // A return address stands behind the call that did not return.
    let interrupted = frame.kind == FrameKind::Interrupted;
    let here = rows.iter().position(|row| match interrupted {
        true => row.address == frame.pc.0,
        false => row.next == frame.pc.0,
    })?;
    let first = here.saturating_sub(AROUND);
    let lines = rows.iter().enumerate().skip(first);
    let lines = lines.take(here.saturating_sub(first).saturating_add(AROUND + 1));
    Some(CodeAt {
        function: symbol.name.clone(),
        module: symbol.module.clone(),
        lines: lines
            .map(|(n, row)| CodeLine {
                offset: row.address.wrapping_sub(start),
                text: row.text.clone(),
                target: row.target.clone(),
                here: n == here,
            })
            .collect(),
    })
}

fn is_at(frame: &Frame, place: &Location) -> bool {
    let symbol = frame.symbol.as_ref();
    symbol.is_some_and(|at| at.name == place.function && at.offset == place.offset)
}
