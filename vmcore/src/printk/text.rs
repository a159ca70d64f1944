//! The log as text, byte for byte as makedumpfile --dump-dmesg writes it.
//!
//! Time in seconds with six decimals, the caller where the kernel stores it, further lines of a
//! message indented below the first, bytes that are neither printable ASCII nor white space as
//! `\x` and hex. Bytes of 0x80 and above appear sign-extended (`\xffffffc3`): makedumpfile prints a
//! plain `char`, and tools that read its files know that form.

use super::{LogError, Record, for_each};
use crate::kernel::Kernel;
use std::io::{self, Write};

/// Bit 31 of a caller: it is a CPU.
const CALLER_CPU: u32 = 0x8000_0000;

/// Writes the log; answers the number of records written.
///
/// # Errors
/// When the log cannot be read or `out` fails.
pub fn write_dmesg(kernel: &Kernel, out: &mut dyn Write) -> Result<u64, LogError> {
    let mut count = 0;
    for_each(kernel, &mut |record| {
        if record.stored {
            count += 1;
            write_record(&record, out)?;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Writes one record with its newline.
///
/// # Errors
/// When `out` fails.
pub fn write_record(record: &Record, out: &mut dyn Write) -> io::Result<()> {
    let mut line = format!(
        "[{:5}.{:06}] ",
        record.ts_nsec / 1_000_000_000,
        record.ts_nsec % 1_000_000_000 / 1000
    );
    if let Some(caller) = record.caller {
        let kind = if caller & CALLER_CPU == 0 { 'T' } else { 'C' };
        let number = format!("{kind}{}", caller & !CALLER_CPU);
        line.push_str(&format!("[{number:>8}] "));
    }
    let indent = line.len();
    let mut line = line.into_bytes();
    for &byte in &record.text {
        match byte {
            b'\n' => {
                line.push(b'\n');
                line.resize(line.len() + indent, b' ');
            }
            b' '..=b'~' | b'\t' | 0x0b | 0x0c | b'\r' => line.push(byte),
            0x80.. => line.extend_from_slice(format!("\\xffffff{byte:02x}").as_bytes()),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'\n');
    out.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record) -> String {
        let mut out = Vec::new();
        write_record(record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn further_lines_are_indented_and_odd_bytes_escaped() {
        let mut record = Record {
            ts_nsec: 12_345_678_901,
            caller: Some(0x8000_0003),
            text: b"one\ntwo\x01\xc3\x7f".to_vec(),
            ..Record::default()
        };
        assert_eq!(
            line(&record),
            "[   12.345678] [      C3] one\n                          two\\x01\\xffffffc3\\x7f\n"
        );
        record.caller = Some(77);
        record.text = b"x".to_vec();
        assert_eq!(line(&record), "[   12.345678] [     T77] x\n");
        record.caller = None;
        assert_eq!(line(&record), "[   12.345678] x\n");
    }
}
