//! Whether the capture image can be built, is loaded, and is still the right one.

use initramfs::build::BuildError;

use super::finding::{Examined, Finding, Level, chain, finding, size};
use super::others::is_masked;
use crate::status::Armed;

const CHECK: &str = "image";

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let mut out = Vec::new();
    match &on.prepared {
        Err(BuildError::Resolve(_)) | Ok(_) => (),
        Err(why) => {
            let level = if on.privileged {
                Level::Fail
            } else {
                Level::NotMade
            };
            out.push(finding(
                CHECK,
                level,
                format!("cannot be built: {}", chain(why)),
            ));
        }
    }
    match (on.status.armed, &on.status.image) {
        (Armed::Stale, _) => {
            out.push(finding(CHECK, Level::Warn, on.status.why.clone()).fix("afterpanic load"));
        }
        // A masked unit cannot be enabled: see others.
        (Armed::No, _) if on.status.reservation.bytes.is_some_and(|b| b > 0) => {
            let unit = "afterpanic.service";
            let fix = match is_masked(on.root, unit) {
                true => format!("systemctl unmask {unit} && systemctl enable --now {unit}"),
                false => "systemctl enable --now afterpanic".to_owned(),
            };
            out.push(finding(CHECK, Level::Fail, "no capture kernel is loaded").fix(fix));
        }
        (Armed::Yes, Some(image)) => {
            out.push(finding(
                CHECK,
                Level::Ok,
                format!("{}, loaded and current", size(image.bytes)),
            ));
        }
        (Armed::Yes, None) => {
            out.push(
                finding(
                    CHECK,
                    Level::Warn,
                    "a capture kernel is loaded, but not by afterpanic",
                )
                .fix("stop the other kdump service, then: afterpanic load"),
            );
        }
        _ => (),
    }
    if out.is_empty() {
        out.push(match &on.prepared {
            Ok(prepared) => {
                let modules: Vec<&str> = prepared
                    .plan()
                    .modules
                    .iter()
                    .map(|m| m.name.as_str())
                    .collect();
                let text = if modules.is_empty() {
                    "no module is needed".to_owned()
                } else {
                    modules.join(" ")
                };
                finding(CHECK, Level::Ok, format!("can be built: {text}"))
            }
            Err(_) => finding(
                CHECK,
                Level::NotMade,
                "not checked: the target cannot be resolved (see target)",
            ),
        });
    }
    out
}
