//! Watchdogs that run: the capture kernel must feed them, so their drivers go in and are loaded first.
//!
//! Facts: Documentation/ABI/testing/sysfs-class-watchdog, Linux 5.10 to 7.2. `state` is there only
//! with CONFIG_WATCHDOG_SYSFS; without it every watchdog counts as running. softdog is no hardware
//! and dies with its kernel.

use std::path::Path;

use plan;

use super::resolved::Resolved;
use super::sysfs::{Machine, name_of};
use crate::closure::Wanted;

/// Drivers whose pretimeout would send an NMI into the capture kernel, and what switches it off.
const PRETIMEOUT_OFF: [(&str, &str); 2] = [
    ("hpwdt", "pretimeout=0 kdumptimeout=0"),
    ("ipmi_watchdog", "pretimeout=0 preaction=pre_none"),
];

/// Adds the watchdogs that run on this machine.
pub(super) fn resolve(machine: &Machine, out: &mut Resolved) {
    let class = Path::new("/sys/class/watchdog");
    for name in machine.root.names(class) {
        let Ok(sys) = machine.root.resolve(class.join(&name)) else {
            continue;
        };
        if machine
            .root
            .text(sys.join("state"))
            .is_some_and(|state| state != "active")
        {
            continue;
        }
        let identity = machine
            .root
            .text(sys.join("identity"))
            .unwrap_or_else(|| name_of(&sys));
        let what = format!("the watchdog {identity}");
        let mut wanted = machine.modules(&sys, &what);
        if machine.drivers(&sys).is_empty() {
            if identity == "Software Watchdog" {
                continue;
            }
            wanted = loaded(machine, &what);
            if wanted.is_empty() {
                out.notes.push(format!(
                    "No driver is known for the watchdog \"{identity}\"; it may reset the machine during a dump"
                ));
            }
        }
        for one in &mut wanted {
            one.required = false;
        }
        add(out, wanted, identity);
    }
    // The IPMI watchdog registers no class device.
    if machine.root.exists("/sys/module/ipmi_watchdog") {
        let why = "the IPMI watchdog";
        let wanted = ["ipmi_si", "ipmi_watchdog"]
            .map(|name| Wanted::optional(name, why))
            .to_vec();
        add(out, wanted, "IPMI".to_owned());
    }
}

/// Some drivers (i6300esb up to 7.2) do not say which device their watchdog is: then every driver of
/// watchdogs that is loaded may be the one.
fn loaded(machine: &Machine, what: &str) -> Vec<Wanted> {
    let is_driver = |name: &String| {
        let module = machine.index.module(name);
        module.is_some_and(|module| module.path.starts_with("kernel/drivers/watchdog/"))
            && !matches!(name.as_str(), "softdog" | "watchdog")
    };
    let names = machine.root.names("/sys/module").into_iter();
    names
        .filter(is_driver)
        .map(|name| {
            let why = format!("{what}: {name} is loaded");
            Wanted::optional(name, why)
        })
        .collect()
}

fn add(out: &mut Resolved, wanted: Vec<Wanted>, identity: String) {
    for one in &wanted {
        let option = PRETIMEOUT_OFF.iter().find(|(name, _)| *name == one.name);
        out.options
            .extend(option.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    out.wanted.extend(wanted);
    out.watchdogs.push(plan::Watchdog {
        identity,
        timeout_s: None,
    });
}
