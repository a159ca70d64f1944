//! The smallest `crashkernel=` that works, by bisection.
//!
//! Each step is a whole rehearsal, so the search is short: sizes in steps of 8 MiB, the upper end
//! proven first. What works once in a machine without load may not work always; the caller adds a
//! margin and says so.

/// The step of the search, in MiB.
pub const STEP: u64 = 8;

/// Finds the smallest size in `low..=high` MiB for which `works`, or nothing when `high` does not.
///
/// `works` is asked about `high` first, then at most log2((high - low) / [`STEP`]) times more.
///
/// # Errors
/// What `works` said.
pub fn find_min<E>(
    low: u64,
    high: u64,
    works: &mut dyn FnMut(u64) -> Result<bool, E>,
) -> Result<Option<u64>, E> {
    if !works(high)? {
        return Ok(None);
    }
    // `good` works; everything up to `bad` does not, or is below what was asked for.
    let (mut bad, mut good) = (low.saturating_sub(STEP), high);
    while good.saturating_sub(bad) > STEP {
        let steps = good.saturating_sub(bad) / STEP;
        let middle = bad.saturating_add((steps / 2).max(1) * STEP);
        if works(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(good))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(low: u64, high: u64, least: u64) -> (Option<u64>, Vec<u64>) {
        let mut asked = Vec::new();
        let found = find_min::<()>(low, high, &mut |size| {
            asked.push(size);
            Ok(size >= least)
        });
        (found.unwrap(), asked)
    }

    #[test]
    fn the_least_size_is_found_in_few_steps() {
        for least in (48..=256).step_by(8) {
            let (found, asked) = search(48, 256, least);
            assert_eq!(found, Some(least));
            assert!(asked.len() <= 7, "{asked:?}");
            assert_eq!(asked[0], 256);
        }
    }

    #[test]
    fn nothing_is_found_when_the_largest_fails() {
        assert_eq!(search(48, 128, 129), (None, vec![128]));
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut times = 0;
        let result = find_min(48, 128, &mut |_| {
            times += 1;
            Err("no QEMU")
        });
        assert_eq!((result, times), (Err("no QEMU"), 1));
    }
}
