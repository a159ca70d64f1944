//! Which of several reports a panic means, mixed lines, decoded and cut logs.

use super::super::*;
use super::{answer, fault, reason};

#[test]
fn machines_and_people_are_nobodys_function() {
    for (text, class) in [
        (
            "mce: [Hardware Error]: CPU 2: Machine Check Exception: 5 Bank 4: b200000000070f0f\nKernel panic - not syncing: Fatal local machine check",
            "machine-check",
        ),
        (
            "{1}[Hardware Error]: event severity: fatal\nKernel panic - not syncing: Fatal hardware error!",
            "machine-check",
        ),
        ("Kernel panic - not syncing: NMI: Not continuing", "nmi"),
        (
            "Kernel panic - not syncing: An NMI occurred. Depending on your system",
            "nmi",
        ),
        (
            "Kernel panic - not syncing: Software Watchdog Timer expired",
            "watchdog",
        ),
        (
            "Kernel panic - not syncing: Out of memory and no killable processes...",
            "oom",
        ),
        (
            "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
            "no-root",
        ),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007",
            "init-killed",
        ),
    ] {
        assert_eq!(answer(text), (class, "-".to_string()), "{text}");
    }
    let died = reason("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007");
    assert!(
        died.explanation.iter().any(|line| line.contains("SIGBUS")),
        "{:?}",
        died.explanation
    );
}

#[test]
fn a_panic_says_which_report_it_means() {
    let warning = fault(
        "WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:9 acme_old+0x1/0x2",
        "acme_old",
        &["acme_run"],
    );
    let kasan = "BUG: KASAN: slab-out-of-bounds in acme_new+0x1/0x2\nCall Trace:\n kasan_report+0x1/0x2\n acme_new+0x1/0x2\n";
    let both = format!(
        "{warning}---[ end trace 0 ]---\n{kasan}Kernel panic - not syncing: KASAN: panic_on_warn set ...\n"
    );
    let told = reason(&both);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_new")
    );
    assert_eq!(told.reports, 2);
    assert_eq!(
        told.first
            .and_then(|first| first.culprit)
            .map(|at| at.function)
            .as_deref(),
        Some("acme_old")
    );
    let oops = |pid: u32, number: u32, place: &str| {
        format!(
            "BUG: kernel NULL pointer dereference, address: 0000000000000018\nOops: Oops: 0000 [#{number}] SMP\nCPU: 1 UID: 0 PID: {pid} Comm: x Not tainted 6.12.1 #1\nRIP: 0010:{place}+0x1/0x2\nCall Trace:\n acme_run+0x1/0x2\n---[ end trace 0 ]---\n"
        )
    };
    let init = format!(
        "{}Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\nCall Trace:\n do_exit+0x1/0x2\n",
        oops(1, 1, "acme_init")
    );
    assert_eq!(answer(&init), ("null-deref", "acme_init".into()));
    let two = format!(
        "{}{}Kernel panic - not syncing: Fatal exception\n",
        oops(7, 1, "acme_a"),
        oops(8, 2, "acme_b")
    );
    let told = reason(&two);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_b")
    );
    assert_eq!(told.oops_number, Some(2));
    let after = format!(
        "{kasan}{}Kernel panic - not syncing: Fatal exception\n",
        oops(7, 1, "acme_late")
    );
    assert_eq!(
        answer(&after),
        ("kasan", "acme_new".into()),
        "memory was corrupt before the oops"
    );
}

#[test]
fn mixed_lines_are_told_apart() {
    let by_caller = "\
[    1.000000][   T7] BUG: kernel NULL pointer dereference, address: 0000000000000018
[    1.000001][   T9] WARNING: CPU: 3 PID: 9 at drivers/acme/b.c:1 acme_warned+0x1/0x2
[    1.000002][   T7] Oops: Oops: 0000 [#1] SMP
[    1.000003][   T9] RIP: 0010:acme_warned+0x1/0x2
[    1.000004][   T7] RIP: 0010:acme_fell+0x1/0x2
[    1.000005][   T9] Call Trace:
[    1.000006][   T9]  acme_other+0x1/0x2
[    1.000007][   T7] Call Trace:
[    1.000008][   T7]  acme_run+0x1/0x2
[    1.000009][   T7] Kernel panic - not syncing: Fatal exception
";
    let told = reason(by_caller);
    assert_eq!(
        told.culprit.as_ref().map(|at| at.function.as_str()),
        Some("acme_fell")
    );
    assert_eq!(told.oops.trace.len(), 1, "{:?}", told.oops.trace);
    let by_shape = "BUG: unable to handle page fault for address: ffffc900deadbee8\nRIP: 0010:memcpy_orig+0x1/0x2\nCall Trace:\n <TASK>\nEXT4-fs (vda3): I/O error\n acme_copy+0x1/0x2\nusb 1-1: reset\n acme_run+0x1/0x2\n </TASK>\n";
    assert_eq!(answer(by_shape), ("bad-address", "acme_copy".into()));
}

#[test]
fn a_decoded_log_has_the_signature_of_the_raw_one() {
    let raw = fault(
        "BUG: kernel NULL pointer dereference, address: 0000000000000018",
        "acme_get.isra.0",
        &["acme_run", "acme_top"],
    );
    let decoded = "BUG: kernel NULL pointer dereference, address: 0000000000000018\nRIP: 0010:acme_get (drivers/acme/a.c:9) \nCall Trace:\n <TASK>\n acme_inlined drivers/acme/a.c:3 [inline]\n acme_run+0x12/0x340 drivers/acme/a.c:7\n acme_top (drivers/acme/a.c:20) \n";
    let (raw, decoded) = (reason(&raw), reason(decoded));
    assert_eq!(raw.signature, decoded.signature);
    assert!(decoded.oops.trace.iter().any(|frame| frame.inline));
}

#[test]
fn what_is_cut_off_is_unclear() {
    let text = fault(
        "BUG: kernel NULL pointer dereference, address: 0000000000000018",
        "acme_get",
        &["acme_run"],
    );
    for end in 0..text.len() {
        let told = reason(text.get(..end).unwrap_or_default());
        let complete = told
            .oops
            .trace
            .iter()
            .any(|frame| frame.function == "acme_run");
        assert!(
            complete || told.trust.verdict == Verdict::Unclear,
            "cut at {end}: {:?}",
            told.trust
        );
    }
}
