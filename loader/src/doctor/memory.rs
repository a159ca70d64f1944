//! Whether memory is reserved, and whether it is enough.

use config::Auto;
use initramfs::kernel::uki;

use super::finding::{Examined, Finding, Level, finding, size};
use crate::bootloader::{self, BootLoaderError};
use crate::crashkernel::Value;
use crate::kimage;
use crate::reserve::{Inputs, estimate};
use crate::root;

const CHECK: &str = "memory";

/// The command that changes the reservation here.
fn reserve(on: &Examined<'_>) -> String {
    let apply = "afterpanic reserve --apply, then reboot";
    let steps = "afterpanic reserve (prints the steps for this boot loader), then reboot";
    match bootloader::propose(on.root, "256M") {
        // What would be written for one value would be written for another.
        Ok(change) if change.by_hand.is_some() => steps.to_owned(),
        Ok(_) => apply.to_owned(),
        Err(BootLoaderError::Conflict { path, line }) => {
            format!(
                "remove this line from {}: {line}; then afterpanic reserve --apply and reboot",
                path.display()
            )
        }
        Err(_) => steps.to_owned(),
    }
}

/// The fix where nothing is reserved: the boot configuration may ask for it already.
fn reserve_or_reboot(on: &Examined<'_>) -> String {
    let next = bootloader::next_boot(on.root);
    let asked = &on.status.reservation.asked;
    let reserves = |value: &String| {
        let ram = crate::probe::ram(on.root).unwrap_or(u64::MAX);
        Value::parse(value).is_ok_and(|value| value.size_for(ram).is_some_and(|size| size > 0))
    };
    match next.last() {
        Some(value) if !asked.contains(value) && reserves(value) => {
            format!("reboot: the boot configuration asks for crashkernel={value} already")
        }
        _ => reserve(on),
    }
}

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let reservation = &on.status.reservation;
    let Some(bytes) = reservation.bytes else {
        return vec![finding(
            CHECK,
            Level::NotMade,
            "cannot read the reservation (/sys/kernel/kexec_crash_size is missing)",
        )];
    };
    if bytes == 0 {
        let text = match reservation.asked.last() {
            None => "no memory is reserved for the capture kernel".to_owned(),
            Some(value) => match Value::parse(value) {
                Err(why) => format!(
                    "nothing is reserved: {}",
                    crate::diagnosis::unreadable(value, &why)
                ),
                Ok(asked) => crate::diagnosis::not_reserved(on.root, value, &asked),
            },
        };
        return vec![finding(CHECK, Level::Fail, text).fix(reserve_or_reboot(on))];
    }
    let mut out = Vec::new();
    let kernel = kimage::find_any(on.root, on.release()).ok();
    let kernel = kernel.and_then(|path| root::bytes(on.root, path, root::KERNEL).ok());
    let kernel = kernel.map(uki::kernel_of);
    let mut inputs = Inputs::read(on.root, kernel.as_deref());
    if let Some(image) = &on.status.image {
        inputs.image = image.bytes;
        inputs.unpacked = image.bytes.saturating_mul(3);
    }
    if let Auto::Set(limit) = on.config.dump.worker_memory {
        inputs.worker = limit.bytes();
    }
    let least = inputs
        .init_size
        .saturating_add(inputs.image)
        .saturating_add(4 << 20);
    let wanted = estimate(&inputs).bytes;
    let usable = reservation.main.map_or(bytes, |r| r.len());
    if usable < least {
        let text = format!(
            "{} are reserved, the kernel alone needs {} to start",
            size(usable),
            size(least)
        );
        out.push(finding(CHECK, Level::Fail, text).fix(reserve(on)));
    } else if usable.saturating_add(16 << 20) < wanted {
        let text = format!(
            "{} are reserved, {} are recommended",
            size(usable),
            size(wanted)
        );
        out.push(finding(CHECK, Level::Warn, text).fix(reserve(on)));
    } else {
        let at = reservation
            .main
            .map(|r| format!(" at {:#x}", r.start))
            .unwrap_or_default();
        out.push(finding(
            CHECK,
            Level::Ok,
            format!("{} reserved{at}", size(usable)),
        ));
    }
    if reservation.main.is_some_and(|r| r.start >= 1 << 32) && reservation.low.is_none() {
        out.push(
            finding(CHECK, Level::Warn, "all of the reservation is above 4 GiB: devices with 32-bit DMA will not work in the capture kernel")
                .fix("remove crashkernel=0,low from the command line"),
        );
    }
    out
}
