//! What a task was doing, as `ps` would have said.
//!
//! Facts: include/linux/sched.h (`task_state_to_char`, TASK_*), 4.14 to 7.2: the numbers of TASK_PARKED
//! and TASK_DEAD moved in 4.14 and have stayed since.

use serde::{Deserialize, Serialize};

const INTERRUPTIBLE: u64 = 0x1;
const UNINTERRUPTIBLE: u64 = 0x2;
const STOPPED: u64 = 0x4;
const TRACED: u64 = 0x8;
const EXIT_DEAD: u64 = 0x10;
const EXIT_ZOMBIE: u64 = 0x20;
const PARKED: u64 = 0x40;
const NOLOAD: u64 = 0x400;
/// TASK_RTLOCK_WAIT: a sleeping spinlock of PREEMPT_RT, shown as uninterruptible.
const RTLOCK_WAIT: u64 = 0x1000;

/// A task's state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Running, or ready to (R).
    Running,
    /// Sleeping, a signal wakes it (S).
    Sleeping,
    /// Blocked: only what it waits for wakes it (D).
    Blocked,
    /// Idle: a thread of the kernel with nothing to do, which does not count as load (I).
    Idle,
    /// Stopped by a signal (T).
    Stopped,
    /// Stopped by a debugger (t).
    Traced,
    /// Parked: a per-CPU thread set aside (P).
    Parked,
    /// Dead, its parent has not asked for it yet (Z).
    Zombie,
    /// Dead and about to vanish (X).
    Dead,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Sleeping,
        Self::Blocked,
        Self::Idle,
        Self::Stopped,
        Self::Traced,
        Self::Parked,
        Self::Zombie,
        Self::Dead,
    ];

    /// The state of that letter.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.letter() == letter)
    }

    /// From `__state` and `exit_state`.
    #[must_use]
    pub fn new(state: u64, exit_state: u64) -> Self {
        if state & (NOLOAD | UNINTERRUPTIBLE) == NOLOAD | UNINTERRUPTIBLE && exit_state == 0 {
            return Self::Idle;
        }
        let mut bits = state & 0x7f | exit_state;
        if state & RTLOCK_WAIT != 0 {
            bits |= UNINTERRUPTIBLE;
        }
        // The highest bit decides.
        [
            (PARKED, Self::Parked),
            (EXIT_ZOMBIE, Self::Zombie),
            (EXIT_DEAD, Self::Dead),
            (TRACED, Self::Traced),
            (STOPPED, Self::Stopped),
            (UNINTERRUPTIBLE, Self::Blocked),
            (INTERRUPTIBLE, Self::Sleeping),
        ]
        .into_iter()
        .find(|(bit, _)| bits & bit != 0)
        .map_or(Self::Running, |(_, state)| state)
    }

    /// The letter of `ps`.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Running => 'R',
            Self::Sleeping => 'S',
            Self::Blocked => 'D',
            Self::Idle => 'I',
            Self::Stopped => 'T',
            Self::Traced => 't',
            Self::Parked => 'P',
            Self::Zombie => 'Z',
            Self::Dead => 'X',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart_as_ps_does() {
        for (state, exit, letter) in [
            (0, 0, 'R'),
            (0x2001, 0, 'S'),
            (2, 0, 'D'),
            (0x402, 0, 'I'),
            (0x102, 0, 'D'),
            (4, 0, 'T'),
            (0x108, 0, 't'),
            (0x40, 0, 'P'),
            (0x80, 0x20, 'Z'),
            (0x80, 0x10, 'X'),
            (0x1000, 0, 'D'),
            (0x8000, 0, 'R'),
        ] {
            assert_eq!(
                State::new(state, exit).letter(),
                letter,
                "{state:#x} {exit:#x}"
            );
        }
    }
}
