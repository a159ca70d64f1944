//! Whether it was ever proved that a dump arrives, for this kernel.

use super::finding::{Examined, Finding, Level, finding};

const CHECK: &str = "proof";

pub(super) fn check(on: &Examined<'_>) -> Vec<Finding> {
    let again = |f: Finding| f.fix("afterpanic rehearse");
    let Some(proof) = &on.status.proof else {
        return vec![finding(CHECK, Level::Note, "never rehearsed")];
    };
    if !proof.passed {
        return vec![again(finding(
            CHECK,
            Level::Warn,
            format!("the last {} failed: {}", proof.by, proof.summary),
        ))];
    }
    if proof.release != on.release() {
        let text = format!("the last {} was with Linux {}", proof.by, proof.release);
        return vec![again(finding(CHECK, Level::Note, text))];
    }
    let void = &on.status.proof_void;
    if !void.is_empty() {
        let text = format!("the last {} has expired: {}", proof.by, void.join(", "));
        return vec![again(finding(CHECK, Level::Note, text))];
    }
    vec![finding(
        CHECK,
        Level::Ok,
        format!("{}: {}", proof.by, proof.summary),
    )]
}
