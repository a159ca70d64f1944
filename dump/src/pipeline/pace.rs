//! The effort of the next batches: as much as the device leaves time for.
//!
//! The writer sees who waits. Where it waits for batches, the processors are what the core waits for, and
//! less effort is faster. Where it never does, or where what was written piles up before the device, the device
//! is, and more effort makes fewer bytes for it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use vmcore::write::Effort;

/// How the effort of batches is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// The codec stays as it was made.
    Own,
    /// The same for all: the same pages make the same file.
    Fixed(Effort),
    /// By who waits for whom.
    Follow,
}

/// What is judged: so many batches at least.
const BATCHES: u32 = 32;
/// And so long before more effort: a device takes what is written in windows, so that less than a few of them
/// tell nothing.
const SPAN: Duration = Duration::from_millis(100);
/// Before less effort: that processors are waited for is seen sooner, and a second is long for a core.
const SOON: Duration = Duration::from_millis(40);
/// The writer's share of waiting above which the effort goes down, and below which it goes up, in percent.
const WAITS: u128 = 30;
const BUSY: u128 = 5;

/// The effort that workers ask for, and what the writer saw since it was changed.
pub(super) struct Guide {
    follows: bool,
    /// 0: none.
    step: AtomicU8,
}

/// The writer's side.
#[derive(Default)]
pub(super) struct Seen {
    waited: Duration,
    wrote: Duration,
    batches: u32,
    /// Of these, written while the device lagged behind.
    lagged: u32,
}

impl Guide {
    pub(super) fn new(pace: Pace) -> Self {
        let step = match pace {
            Pace::Own => 0,
            Pace::Fixed(effort) => effort.step(),
            // In the middle: either end is a step or two away.
            Pace::Follow => Effort::Fast.step(),
        };
        Self {
            follows: pace == Pace::Follow,
            step: AtomicU8::new(step),
        }
    }

    /// The effort of the next batch.
    pub(super) fn effort(&self) -> Option<Effort> {
        Effort::new(u32::from(self.step.load(Ordering::Relaxed)))
    }

    /// Takes note of a batch: how long the writer waited for it, how long it wrote, and whether the device lags
    /// behind then.
    pub(super) fn saw(&self, seen: &mut Seen, waited: Duration, wrote: Duration, lags: bool) {
        if !self.follows {
            return;
        }
        seen.waited += waited;
        seen.wrote += wrote;
        seen.batches += 1;
        seen.lagged += u32::from(lags);
        let all = seen.waited + seen.wrote;
        if seen.batches < BATCHES || all < SOON {
            return;
        }
        let share = match seen.lagged * 2 > seen.batches {
            true => 0,
            false => seen.waited.as_micros() * 100 / all.as_micros().max(1),
        };
        if share < WAITS && all < SPAN {
            return;
        }
        *seen = Seen::default();
        let Some(effort) = self.effort() else { return };
        let next = match share {
            WAITS.. => effort.less(),
            ..BUSY => effort.more(),
            _ => effort,
        };
        self.step.store(next.step(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_effort_follows_who_waits() {
        let guide = Guide::new(Pace::Follow);
        let mut seen = Seen::default();
        assert_eq!(guide.effort(), Some(Effort::Fast));
        // Too few batches.
        for _ in 0..BATCHES - 1 {
            guide.saw(&mut seen, 10 * MS, MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Fast));
        guide.saw(&mut seen, MS, MS, false);
        assert_eq!(guide.effort(), Some(Effort::Fastest));
        // Enough of them, in too little time.
        for _ in 0..BATCHES + 1 {
            guide.saw(&mut seen, Duration::ZERO, 2 * MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Fastest));
        guide.saw(&mut seen, Duration::ZERO, SPAN, false);
        assert_eq!(guide.effort(), Some(Effort::Fast));
        for _ in 0..1000 {
            guide.saw(&mut seen, 10 * MS, MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Fastest));
        // Between the two it stays.
        for _ in 0..1000 {
            guide.saw(&mut seen, MS, 9 * MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Fastest));
        for _ in 0..1000 {
            guide.saw(&mut seen, Duration::ZERO, 10 * MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Smallest));
        for _ in 0..1000 {
            guide.saw(&mut seen, 10 * MS, MS, false);
        }
        assert_eq!(guide.effort(), Some(Effort::Fastest));
        // The writer waits, but what it wrote piles up.
        for _ in 0..1000 {
            guide.saw(&mut seen, 10 * MS, MS, true);
        }
        assert_eq!(guide.effort(), Some(Effort::Smallest));
    }

    #[test]
    fn what_is_fixed_stays() {
        for pace in [Pace::Own, Pace::Fixed(Effort::Fastest)] {
            let guide = Guide::new(pace);
            let first = guide.effort();
            let mut seen = Seen::default();
            for _ in 0..1000 {
                guide.saw(&mut seen, Duration::ZERO, 10 * MS, false);
            }
            assert_eq!(guide.effort(), first);
        }
        assert_eq!(Guide::new(Pace::Own).effort(), None);
    }
}
