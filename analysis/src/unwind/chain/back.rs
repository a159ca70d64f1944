//! The back chain of ppc64le and s390x: a frame begins with the address of its caller's, which holds where the caller
//! goes on.

use super::{State, Step, Walk};
use crate::unwind::error::UnwindError;
use crate::unwind::memory::Pages;
use vmcore::addr::VirtAddr;

/// What a function has on the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::unwind) struct Kept {
    /// Its own frame.
    pub frame: bool,
    /// The link register, in the caller's frame.
    pub link: bool,
}

/// What a frame looks like.
pub(in crate::unwind) struct BackChain {
    /// The offset of the caller's frame.
    pub chain: u64,
    /// The offset of what the frame's own function goes on with.
    pub link: u64,
    /// What the function that begins at the first address has on the stack when the second is about to run. `None`
    /// where its code cannot be read or is too long.
    pub kept: fn(&Pages<'_>, u64, u64) -> Option<Kept>,
}

impl BackChain {
    /// The caller; `None` behind the frame whose chain ends.
    pub(in crate::unwind) fn caller(
        &self,
        walk: &Walk<'_>,
        state: &State,
    ) -> Result<Option<Step>, UnwindError> {
        let word = |at: u64, offset: u64| {
            let word = walk.pages.word_at(VirtAddr(at), offset);
            word.ok_or(UnwindError::Stack(at))
        };
        let kept = match state.signal && state.lr.is_some() {
            true => self.interrupted(walk, state),
            false => None,
        };
        let kept = kept.unwrap_or(Kept {
            frame: true,
            link: true,
        });
        let link = state.lr.filter(|lr| walk.is_return(*lr));
        if let (false, Some(lr)) = (kept.frame, link) {
            // Its frame is its caller's.
            return Ok(Some(Step::by_link(lr, state.sp, 0)));
        }
        let above = word(state.sp, self.chain)?;
        if above == 0 {
            return Ok(None);
        }
        Ok(Some(match (kept.link, link) {
            (false, Some(lr)) => Step::by_link(lr, above, 0),
            _ => Step::called(word(above, self.link)?, above, 0),
        }))
    }

    /// What would be known of a frame whose return address a scan found at `slot`.
    pub(in crate::unwind) fn found(&self, slot: u64, pc: u64) -> State {
        State {
            pc,
            sp: slot.saturating_sub(self.link),
            ..State::default()
        }
    }

    /// What the interrupted function has on the stack.
    fn interrupted(&self, walk: &Walk<'_>, state: &State) -> Option<Kept> {
        let Some(symbol) = (walk.name)(state.pc) else {
            // A call of a pointer that led nowhere: there was no time for a frame.
            return (!walk.may_be_generated(state.pc)).then(Kept::default);
        };
        let start = state.pc.checked_sub(symbol.offset)?;
        (self.kept)(walk.pages, start, state.pc)
    }
}
