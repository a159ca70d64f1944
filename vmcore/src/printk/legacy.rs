//! The ring of variable-length records (3.5 to 5.9).
//!
//! Facts: kernel/printk.c, kernel/printk/printk.c of those versions. A record is a header, the text
//! and a dictionary; a length of 0 means that the rest of the buffer is unused and the next record
//! stands at its start. `struct log` was named `printk_log` in 3.11.

use super::{LogError, Record, warn};
use crate::kernel::{Kernel, KernelError};
use std::io;

/// No kernel can be configured to a larger log.
const MAX_LEN: u64 = 1 << 31;

pub(super) fn walk(
    kernel: &Kernel,
    sink: &mut dyn FnMut(Record) -> io::Result<()>,
) -> Result<Vec<String>, LogError> {
    let info = kernel.vmcoreinfo();
    let name = if info.size("printk_log").is_some() {
        "printk_log"
    } else {
        "log"
    };
    let offset = |member: &str| {
        let key = format!("{name}.{member}");
        info.offset(&key).ok_or_else(|| KernelError::MissingKey {
            key: format!("OFFSET({key})"),
        })
    };
    let header = info.size(name).ok_or_else(|| KernelError::MissingKey {
        key: "SIZE(printk_log)".to_owned(),
    })?;
    let (ts_nsec, len) = (offset("ts_nsec")?, offset("len")?);
    let text_len = offset("text_len")?;
    let dict_len = offset("dict_len").unwrap_or(text_len.saturating_add(2));
    let caller_id = offset("caller_id").ok();

    let number = |symbol: &str| -> Result<u64, KernelError> {
        let at = kernel.symbol(symbol)?;
        let value = kernel.read_u32(at).map_err(KernelError::reading(symbol))?;
        Ok(u64::from(value))
    };
    let buffer = kernel
        .read_ptr(kernel.symbol("log_buf")?)
        .map_err(KernelError::reading("log_buf"))?;
    let size = number("log_buf_len")?;
    if size == 0 || size > MAX_LEN || header == 0 {
        return Err(LogError::Kernel(KernelError::Corrupt {
            what: "The log",
            why: format!("log_buf_len is {size}, a record header has {header} bytes"),
        }));
    }
    let (mut index, end) = (number("log_first_idx")?, number("log_next_idx")?);

    let mut warnings = Vec::new();
    let mut seq = 0;
    let mut walked = 0;
    while index != end {
        let at = buffer.wrapping_add(index);
        if index.saturating_add(header) > size {
            warn(
                &mut warnings,
                format!("the log's records lead outside it at {index:#x}"),
            );
            break;
        }
        let read = |offset: u64| kernel.read_u16(at.wrapping_add(offset));
        let Ok(record_len) = read(len) else {
            warn(
                &mut warnings,
                format!("the log cannot be read on from {index:#x}"),
            );
            break;
        };
        if record_len == 0 {
            if index == 0 || walked > size {
                break;
            }
            walked += size - index;
            index = 0;
            continue;
        }
        let length = u64::from(record_len);
        walked += length;
        if walked > size {
            warn(&mut warnings, "the log's records form a circle".to_owned());
            break;
        }
        let record = || -> Result<Record, crate::kernel::MemError> {
            let text_len = read(text_len)?;
            // facility and flags:5 level:3 follow the three lengths in every version.
            let [facility, flags_level] =
                kernel.read_bytes(at.wrapping_add(dict_len.saturating_add(2)))?;
            let room = length
                .saturating_sub(header)
                .min(size.saturating_sub(index).saturating_sub(header));
            let mut text =
                vec![0; usize::from(text_len).min(usize::try_from(room).unwrap_or(usize::MAX))];
            kernel.read(at.wrapping_add(header), &mut text)?;
            Ok(Record {
                seq,
                ts_nsec: kernel.read_u64(at.wrapping_add(ts_nsec))?,
                level: flags_level >> 5,
                facility,
                caller: match caller_id {
                    Some(offset) => Some(kernel.read_u32(at.wrapping_add(offset))?),
                    None => None,
                },
                text,
                stored: true,
            })
        };
        match record() {
            Ok(record) => sink(record)?,
            Err(_) => warn(
                &mut warnings,
                format!("log record {seq} at {index:#x} cannot be read"),
            ),
        }
        seq += 1;
        index += length;
    }
    Ok(warnings)
}
