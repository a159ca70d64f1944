//! Nothing else worked: the end of the crashed kernel's log goes to the console.

use super::source;
use crate::protocol;
use plan::Plan;
use vmcore::kernel::chain;
use vmcore::printk;

/// Lines printed: a slow serial line takes a second for every ten kilobytes.
const LINES: usize = 400;

pub fn run(plan: &Plan) -> Result<(), String> {
    let kernel = source::kernel(plan)?;
    let mut text = Vec::new();
    printk::write_dmesg(&kernel, &mut text).map_err(|error| chain(&error))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    for line in lines.get(from..).unwrap_or_default() {
        protocol::log(format!("dead: {line}"));
    }
    Ok(())
}
