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
