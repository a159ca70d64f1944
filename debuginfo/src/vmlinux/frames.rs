//! `.debug_frame`: the unwinder's rules, function by function.

use super::Image;
use super::layout::Part;
use crate::dwarf::{Frames, Range};
use crate::error::Error;
use analysis::unwind::Entry;
use analysis::unwind::rules::{Rules, by_code};
use vmcore::addr::VirtAddr;
use vmcore::kernel::Kernel;

/// Functions that objtool leaves out of ORC and that every stack of a panic goes through.
const WITHOUT_ORC: [&str; 1] = ["__crash_kexec"];

/// One frame a function.
pub(super) fn section(kernel: &Kernel, image: &Image, rules: &Rules) -> Result<Vec<u8>, Error> {
    let (table, layout) = (&image.table, &image.layout);
    let linked = |rows: &[(u64, Entry)]| -> Vec<_> {
        let rows = rows.iter();
        rows.map(|(at, entry)| (layout.linked(*at), *entry))
            .collect()
    };
    let mut frames = Frames::new();
    let mut done = 0;
    for row in table.rows() {
        let text = matches!(layout.part(row.address), Some(Part::Text | Part::InitText));
        if !text || row.address < done {
            continue;
        }
        let size = layout.room(table, row.address);
        let end = row.address.saturating_add(size);
        done = end;
        if size == 0 {
            continue;
        }
        let code = layout.linked_range(Range {
            start: row.address,
            end,
        });
        let left_out = WITHOUT_ORC.contains(&table.name(row));
        if left_out && rules.is_silent(row.address, end) {
            let own = by_code(kernel, VirtAddr(row.address), size);
            frames.function(code, &linked(&own))?;
            continue;
        }
        let from = rules.rows.partition_point(|(at, _)| *at <= row.address);
        let to = rules.rows.partition_point(|(at, _)| *at < end);
        let own = rules.rows.get(from.saturating_sub(1)..to);
        frames.function(code, &linked(own.unwrap_or_default()))?;
    }
    Ok(frames.finish())
}
