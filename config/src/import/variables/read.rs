//! Values that are partly computed by a shell, and values that are read as something.

use super::super::imported::Fate;
use super::super::shell::{Piece, Value};
use super::super::{cmdline, collector, shell};
use crate::model::{Auto, Config, Syscall, is_address};
use crate::units::Size;

/// A command line that begins with the running one: what is added to that is added here.
pub(super) fn cmdline(name: &str, value: &Value, config: &mut Config, fate: &mut Fate) {
    let mut text = String::new();
    for piece in value.pieces() {
        match piece {
            Piece::Text(more) => text.push_str(more),
            // afterpanic derives its command line from the running one, too.
            Piece::Computed(how) if how.contains("/proc/cmdline") => text.push(' '),
            Piece::Computed(how) => fate.nothing(format!("only a shell can compute {how}")),
        }
    }
    let complete = !name.ends_with("APPEND");
    let mut kept = Vec::new();
    for word in cmdline::words(&text) {
        // A runlevel, which tells a user space what to start.
        let runlevel = matches!(
            word.as_str(),
            "1" | "2" | "3" | "4" | "5" | "s" | "S" | "single"
        );
        match complete && runlevel {
            true => fate.remark(format!(
                "the runlevel {word} is left out: the image has none"
            )),
            false => kept.push(word),
        }
    }
    cmdline::append(&kept.join(" "), config, fate);
}

/// The arguments of makedumpfile.
pub(super) fn collector(value: &Value, config: &mut Config, fate: &mut Fate) {
    let mut text = String::new();
    for piece in value.pieces() {
        match piece {
            Piece::Text(more) => text.push_str(more),
            // The name of a file with symbols, which are read from the dump.
            Piece::Computed(_) => text.push('x'),
        }
    }
    let words = shell::words(&text);
    collector::take(&words, collector::Extent::All, config, fate);
}

/// Arguments of the program kexec (kexec.8 of kexec-tools 2.0.32).
pub(super) fn kexec(text: &str, config: &mut Config, fate: &mut Fate) {
    fate.take("");
    for word in shell::words(text) {
        let syscall = match word.as_str() {
            "-s" | "--kexec-file-syscall" => Syscall::File,
            "-c" | "--kexec-syscall" => Syscall::Load,
            "-a" | "--kexec-syscall-auto" => Syscall::Auto,
            "-p" | "--load-panic" => continue,
            _ => {
                fate.nothing(format!("the kexec option {word} has no counterpart"));
                continue;
            }
        };
        config.capture_kernel.syscall = syscall;
        fate.take("syscall in [capture_kernel]");
    }
}

/// `crashkernel=` words, or a bare value.
pub(super) fn crashkernel(text: &str, config: &mut Config, fate: &mut Fate) {
    let values: Vec<&str> = text
        .split_ascii_whitespace()
        .map(|word| word.strip_prefix("crashkernel=").unwrap_or(word))
        .filter(|value| !value.is_empty())
        .collect();
    let low: Vec<&&str> = values.iter().filter(|v| v.ends_with(",low")).collect();
    let main: Vec<&&str> = values.iter().filter(|v| !v.ends_with(",low")).collect();
    match main.as_slice() {
        [] if low.is_empty() => fate.take("the default"),
        [one] if **one == "auto" => fate.take("crashkernel in [capture_kernel]"),
        [one] => {
            config.capture_kernel.crashkernel = Auto::Set((**one).to_owned());
            fate.take("crashkernel in [capture_kernel]");
            if let [low, ..] = low.as_slice() {
                fate.remark(format!(
                    "{low} is left out: the kernel picks the size below 4 GiB by itself"
                ));
            }
        }
        _ => fate.nothing("more than one size; `afterpanic reserve` says what to reserve"),
    }
}

/// Yes, no, or neither.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "1" | "true" => Some(true),
        "no" | "0" | "false" => Some(false),
        _ => None,
    }
}

/// How many crashes stay.
pub(super) fn dumps(text: &str, config: &mut Config, fate: &mut Fate) {
    match text.trim().parse::<i64>() {
        Ok(-1) => {
            config.keep.dumps = 1;
            fate.take("dumps = 1 in [keep]");
        }
        Ok(number) if u32::try_from(number).is_ok() => {
            config.keep.dumps = u32::try_from(number).unwrap_or_default();
            fate.take(match number {
                0 => "dumps = 0 in [keep]: none is removed",
                _ => "dumps in [keep], the new one included",
            });
        }
        _ => fate.nothing(format!("\"{text}\" is not a number of dumps")),
    }
}

/// Space that stays free, in MiB.
pub(super) fn free(text: &str, config: &mut Config, fate: &mut Fate) {
    let bytes = text.trim().parse::<u64>().ok();
    match bytes.and_then(|n| n.checked_mul(1 << 20)) {
        Some(bytes) => {
            config.keep.free = Size(bytes);
            fate.take("free in [keep]");
        }
        None => fate.nothing(format!("\"{text}\" is not a size in MiB")),
    }
}

/// Who gets a mail of each crash.
pub(super) fn mail(text: &str, config: &mut Config, fate: &mut Fate) {
    let mut addresses = text.split([' ', ',', ';']).filter(|word| !word.is_empty());
    let first = addresses.next().unwrap_or_default();
    if !is_address(first) {
        return fate.nothing(format!("\"{text}\" is not a mail address"));
    }
    config.notify.mail = Some(first.to_owned());
    fate.take("mail in [notify], through sendmail");
    if addresses.next().is_some() {
        fate.remark("mails go to one address; make it an alias of the others");
    }
}
