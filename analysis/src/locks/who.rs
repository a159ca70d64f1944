//! A task by its name: what the answers about locks and stacks call it.
//!
//! Facts: include/linux/sched.h, fs/proc/array.c (`task_state_array`), 5.10 to 7.x.

use super::Who;
use vmcore::addr::VirtAddr;
use vmcore::kernel::{Kernel, KernelError, Member};

/// TASK_COMM_LEN.
const COMM_BYTES: usize = 16;

/// Where a task's name stands.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pid: Member,
    comm: Member,
    state: Member,
    exit_state: Member,
}

impl Names {
    /// Finds the members.
    ///
    /// # Errors
    /// When BTF does not know them.
    pub fn of(kernel: &Kernel) -> Result<Self, KernelError> {
        let at = |member: &str| kernel.member("task_struct", member);
        Ok(Self {
            pid: at("pid")?,
            comm: at("comm")?,
            // `state` until 5.13.
            state: at("__state").or_else(|_| at("state"))?,
            exit_state: at("exit_state")?,
        })
    }

    /// The task at `task`; `None` when that cannot be read.
    #[must_use]
    pub fn who(&self, kernel: &Kernel, task: VirtAddr) -> Option<Who> {
        let value = |member: &Member| kernel.read_member(task, member).ok();
        let comm = kernel
            .read_cstr(task.checked_add(self.comm.offset)?, COMM_BYTES)
            .ok()?;
        let pid = u32::try_from(value(&self.pid)? & 0xffff_ffff).ok()?;
        Some(Who {
            address: task.to_string(),
            pid: pid.cast_signed(),
            comm: String::from_utf8_lossy(&comm).into_owned(),
            state: letter(value(&self.state)?, value(&self.exit_state)?),
        })
    }
}

/// The letter that ps shows. TASK_IDLE is uninterruptible without counting as load.
fn letter(state: u64, exit_state: u64) -> char {
    /// TASK_UNINTERRUPTIBLE | TASK_NOLOAD.
    const IDLE: u64 = 0x402;
    const LETTERS: [(u64, char); 8] = [
        (0x1, 'S'),
        (0x2, 'D'),
        (0x4, 'T'),
        (0x8, 't'),
        (0x10, 'X'),
        (0x20, 'Z'),
        (0x40, 'P'),
        (0, 'R'),
    ];
    if state & IDLE == IDLE {
        return 'I';
    }
    let bits = (state | exit_state) & 0x7f;
    let highest = bits.checked_ilog2().map_or(0, |bit| 1 << bit);
    LETTERS
        .iter()
        .find(|(bit, _)| *bit == highest)
        .map_or('?', |(_, letter)| *letter)
}

#[cfg(test)]
mod tests {
    use super::letter;

    #[test]
    fn letters_are_those_of_ps() {
        assert_eq!(letter(0, 0), 'R');
        assert_eq!(letter(1, 0), 'S');
        assert_eq!(letter(2, 0), 'D');
        assert_eq!(letter(0x102, 0), 'D');
        assert_eq!(letter(0x402, 0), 'I');
        assert_eq!(letter(0x2001, 0), 'S');
        assert_eq!(letter(0x80, 0x20), 'Z');
        assert_eq!(letter(0x80, 0x10), 'X');
        assert_eq!(letter(4, 0), 'T');
    }
}
