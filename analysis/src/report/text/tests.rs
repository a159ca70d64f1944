//! The text of reports, line by line.

use super::*;
use crate::reason::Line;

#[test]
fn durations_read_well() {
    assert_eq!(duration(9), "9 seconds");
    assert_eq!(duration(100), "100 seconds");
    assert_eq!(duration(7_300), "2 hours");
    assert_eq!(duration(41 * 86_400 + 5), "41 days");
}

#[test]
fn a_report_says_who_when_where() {
    let log: Vec<Line> = "\
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor read access in kernel mode
Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 2 UID: 0 PID: 212 Comm: kworker/2:1 Kdump: loaded Tainted: G           OE      6.12.1 #1
RIP: 0010:acme_poll+0x41/0x50 [acme]
Code: 90 <48> 8b 40 18 c3
Call Trace:
 <TASK>
 process_one_work+0x174/0x330
"
    .lines()
    .map(|text| Line {
        ts_nsec: 41 * 86_400 * 1_000_000_000,
        text: text.into(),
        ..Line::default()
    })
    .collect();
    let mut report = Report {
        system: crate::system::System {
            uts: crate::system::Uts {
                nodename: "web-03".into(),
                release: "6.12.1".into(),
                ..Default::default()
            },
            cpus_online: Some(4),
            memory_bytes: Some(8 << 30),
            ..Default::default()
        },
        crash_time: Some(0),
        crash_time_utc: Some("2026-11-21T23:15:00Z".into()),
        uptime_seconds: Some(41 * 86_400),
        log_tail: vec!["[    1.000000] last words".into()],
        log_lines: 9,
        tasks: Some([('R', 2), ('S', 90), ('D', 1)].into()),
        seen: Some(2),
        warnings: vec!["the moon".into()],
        dump: vec!["Rule free is off".into()],
        ..Report::of(Reason::from_log(&log))
    };
    let mut text = String::new();
    write(&report, &mut text).unwrap();
    for expected in [
        "web-03 panicked 2026-11-21 23:15:00 UTC after 41 days up  (Linux 6.12.1)\n",
        "NULL pointer dereference, reading 0x18, in acme_poll+0x41 [acme]",
        "  task kworker/2:1 (212), CPU 2, tainted G OE\n",
        "    acme_poll+0x41 [acme]    mov 0x18(%rax),%rax\n",
        "    process_one_work+0x174\n",
        "  machine: 4 CPUs, 8192 MiB of memory\n",
        "    [    1.000000] last words\n",
        ", seen twice here\n",
        "  tasks: 93 (1 D, 2 R, 90 S)\n",
        "  not known: the moon\n",
        "  the dump: Rule free is off\n",
    ] {
        assert!(
            text.contains(expected),
            "{expected:?} is missing in\n{text}"
        );
    }
    report.crash_time = None;
    report.crash_time_utc = None;
    report.reason = Reason::from_log(&[]);
    let mut text = String::new();
    write(&report, &mut text).unwrap();
    let first = "web-03 has not panicked in 41 days up  (Linux 6.12.1)\n";
    assert!(text.starts_with(first), "{text}");
    assert!(!text.contains("signature"), "{text}");
}

#[test]
fn the_syndrome_of_aarch64_is_in_words() {
    let log: Vec<Line> = "\
Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018
Mem abort info:
  ESR = 0x0000000096000046
  EC = 0x25: DABT (current EL), IL = 32 bits
Data abort info:
  ISV = 0, ISS = 0x00000046, ISS2 = 0x00000000
Internal error: Oops: 0000000096000046 [#1] SMP
CPU: 0 UID: 0 PID: 1 Comm: guest Tainted: G   F       E      6.12.1 #1
pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
pc : acme_poll+0xc/0x18 [acme]
lr : acme_work+0x14/0x28 [acme]
Call trace:
 acme_poll+0xc/0x18 [acme]
 acme_work+0x14/0x28 [acme]
Code: 90000000 f9400000 f9400000 (f9000c1f)
"
    .lines()
    .map(|text| Line {
        text: text.into(),
        ..Line::default()
    })
    .collect();
    let report = Report::of(Reason::from_log(&log));
    let mut text = String::new();
    write(&report, &mut text).unwrap();
    for expected in [
        "NULL pointer dereference, writing 0x18, in acme_poll+0xc [acme]",
        "  the processor: data abort in the kernel, translation fault, level 2, write (ESR 0x0000000096000046)\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    // The trace begins with the place itself: it is shown once.
    let times = text.matches("    acme_poll+0xc [acme]\n").count();
    assert_eq!((times, text.contains("times)")), (1, false), "{text}");
    let code = report.reason.oops.code.unwrap();
    assert_eq!(code.bytes, "90000000 f9400000 f9400000 (f9000c1f)");
    // Never as another machine's: no decoder of aarch64 is there.
    assert_eq!(code.instruction, None);
}
