//! The page as a whole: what it holds, that it is well formed, and that nothing of a dump gets into its
//! markup.

use super::*;
use crate::locks::{Blocked, Holder, WaitKind, Waiter, Who};
use crate::report::details::{
    Details, LogLine, Register, Saved, SavedStep, Sysctl, full, full_of_text,
};
use crate::tasks::{Rss, State};
use crate::toy;
use proptest::prelude::*;
use synth::kernel::{Crash, Kernel as Synthetic};

/// Elements that stand alone.
const VOID: [&str; 2] = ["meta", "input"];

/// A page that shows a synthetic kernel's core.
fn of_core(crash: Crash) -> Full {
    full(&toy::of_bytes(&Synthetic::new(crash).elf()))
}

/// What is wrong with the markup: a tag that does not close the last one that is open, an attribute
/// without quotes, or an element that this program does not write.
fn fault(page: &str) -> Option<String> {
    const KNOWN: &str = " html head meta title style body a header div p span h1 h2 h3 blockquote dl dt dd nav ol \
        li label kbd input button main section aside ul footer script table caption thead tbody tr th td \
        details summary b em i s code pre svg rect line text path g defs marker pattern desc article ";
    let mut open: Vec<&str> = Vec::new();
    let mut rest = page.strip_prefix("<!doctype html>")?;
    while let Some((_, tag)) = rest.split_once('<') {
        let (tag, after) = tag.split_once('>')?;
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Some(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let name = tag.split([' ', '/']).next()?;
        if !KNOWN.contains(&format!(" {name} ")) {
            return Some(format!("<{name}> is not ours"));
        }
        if tag.matches('"').count() % 2 != 0 {
            return Some(format!("<{tag}>: a quote is open"));
        }
        // What stands outside of quotes: the element, names of attributes, the slash at the end.
        let outside = tag.split('"').step_by(2);
        let mut names = outside.flat_map(str::split_whitespace);
        if names.any(|name| name.starts_with("on") || name == "style=") {
            return Some(format!("<{tag}>: what the policy forbids"));
        }
        if tag.ends_with('/') || VOID.contains(&name) {
            continue;
        }
        if name == "script" || name == "style" {
            rest = rest.split_once(&format!("</{name}>"))?.1;
            continue;
        }
        open.push(name);
    }
    (!open.is_empty()).then(|| format!("{open:?} stay open"))
}

#[test]
fn every_part_of_a_core_is_on_its_page() {
    let page = page(&of_core(Crash::NullPointer));
    assert_eq!(fault(&page), None);
    for part in [
        "<title>",
        "Content-Security-Policy",
        "NULL pointer dereference",
        "crasher_write",
        "id=\"code\"",
        "class=\"here\"",
        "id=\"cpus\"",
        "interrupts o",
        "id=\"memory\"",
        "Who spoke",
        "id=\"tasks\"",
        "id=\"modules\"",
        "id=\"slabs\"",
        "id=\"checks\"",
        "The whole log",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn resident_memory_is_in_bytes() {
    let mut full = of_core(Crash::NullPointer);
    let list = full.details.task_list.as_mut().unwrap();
    list[0].rss = Some(Rss {
        anon: 3 << 20,
        ..Rss::default()
    });
    let cell = format!(">{}<", crate::report::words::size(3 << 20));
    assert!(page(&full).contains(&cell), "{cell}");
}

#[test]
fn a_stored_report_gives_the_same_page() {
    for crash in [Crash::NullPointer, Crash::Sysrq, Crash::HungTask] {
        let full = of_core(crash);
        let json = serde_json::to_string(&full).unwrap();
        let stored: Full = serde_json::from_str(&json).unwrap();
        assert_eq!(page(&stored), page(&full));
    }
}

#[test]
fn a_report_of_before_has_a_page_of_what_it_holds() {
    let full = of_core(Crash::NullPointer);
    // As the capture kernel writes it.
    let json = serde_json::to_string(&full.report).unwrap();
    let stored: Full = serde_json::from_str(&json).unwrap();
    let page = page(&stored);
    assert_eq!(fault(&page), None);
    assert!(page.contains("from the instruction at fault on"), "no code");
    assert!(page.contains("id=\"timeline\""));
    assert!(!page.contains("The whole log"));
}

#[test]
fn a_text_has_a_page_that_says_what_it_lacks() {
    let log = "[    1.000000] Linux version 6.12.1-x (b@h) #7 SMP\n\
               [  100.000000] BUG: kernel NULL pointer dereference, address: 0000000000000018\n\
               [  100.000005] RIP: 0010:acme_poll+0x41/0x50 [acme]\n\
               [  100.000008] Kernel panic - not syncing: Fatal exception\n";
    let full = full_of_text(&mut log.as_bytes(), "console.txt").unwrap();
    let page = page(&full);
    assert_eq!(fault(&page), None);
    assert!(page.contains("It was made without a core"));
    assert!(page.contains("acme_poll"));
    assert!(page.contains("<li class=\"r\"><i>100.000008</i>"));
}

#[test]
fn a_dump_that_tells_nothing_has_a_page() {
    let page = page(&full(&toy::kernel(&synth::ram::Ram::new(4, 0))));
    assert_eq!(fault(&page), None);
    assert!(page.contains("What this report cannot tell"));
}

/// A report in which every text is `text`.
fn filled_with(text: &str) -> Full {
    let who = |pid| Who {
        address: crate::hex::Hex(pid),
        pid: i32::try_from(pid).unwrap(),
        comm: text.into(),
        state: State::Blocked,
    };
    let waiter = |pid, on| Waiter {
        task: who(pid),
        kind: WaitKind::Mutex,
        function: Some(text.into()),
        lock: None,
        symbol: Some(text.into()),
        holder: Some(Holder {
            task: who(on),
            reader: false,
        }),
    };
    let mut full = of_core(Crash::NullPointer);
    let own = || Some(text.to_owned());
    let report = &mut full.report;
    report.system.uts.nodename = text.into();
    report.system.uts.release = text.into();
    report.system.command_line = own();
    report.reason.message = own();
    report.reason.headline = own();
    report.reason.explanation = vec![text.into()];
    report.reason.signature = text.into();
    report.reason.trust.because = text.into();
    report.reason.oops.hardware = own();
    report.reason.oops.comm = own();
    report.log_tail = vec![text.into()];
    report.warnings = vec![text.into()];
    report.dump = vec![text.into()];
    for at in report
        .stack
        .iter_mut()
        .flatten()
        .chain(&mut report.reason.oops.trace)
    {
        at.function = text.into();
        at.module = own();
    }
    for cpu in report.cpus.iter_mut().flatten() {
        cpu.comm = text.into();
        cpu.idle = false;
    }
    for module in report.modules.iter_mut().flatten() {
        module.name = text.into();
        module.version = own();
    }
    for mount in report.mounts.iter_mut().flatten() {
        mount.target = text.into();
    }
    report.blocked = Some(Blocked {
        waiters: vec![waiter(1, 2), waiter(2, 1), waiter(3, 1)],
        cycles: vec![vec![1, 2]],
        warnings: vec![text.into()],
    });
    let line = |ns| LogLine {
        ns: Some(ns),
        level: Some(3),
        caller: own(),
        text: text.into(),
    };
    let step = SavedStep {
        name: text.into(),
        end: text.into(),
        seconds: f64::NAN,
    };
    let kind = crate::report::details::KindOfPage {
        pages: 1,
        kept: true,
    };
    full.details = Details {
        registers: Some(vec![Register {
            name: text.into(),
            value: text.into(),
            points_to: own(),
        }]),
        log: Some((0..40).map(|n| line(n * 500_000_000)).collect()),
        sysctls: Some(vec![Sysctl {
            name: text.into(),
            value: i64::MIN,
        }]),
        saved: Some(Saved {
            verdict: text.into(),
            file: own(),
            level: own(),
            kinds: [(text.to_owned(), kind)].into(),
            rules_off: vec![(text.into(), text.into())],
            steps: vec![step],
            ..Saved::default()
        }),
        ..full.details
    };
    full
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_of_a_dump_gets_into_the_markup(parts in proptest::collection::vec(prop_oneof![
        Just("</script>".to_owned()),
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("' onload='x".to_owned()),
        Just("]]>-->&lt;&#60;".to_owned()),
        Just("</title></svg></style>".to_owned()),
        Just("\u{202e}\u{2066}\u{200f}\u{feff}\u{2028}".to_owned()),
        Just("\u{0}\u{1b}[31m\r\u{7f}\u{9b}".to_owned()),
        any::<String>(),
    ], 1..5)) {
        let text: String = parts.concat();
        let full = filled_with(&text);
        let made = page(&full);
        prop_assert_eq!(fault(&made), None);
        // One script, one style, and no control but the line feed and the tab.
        prop_assert_eq!(made.matches("<script").count(), 1);
        prop_assert_eq!(made.matches("<style").count(), 1);
        prop_assert!(!made.contains("<img"));
        let raw = made.chars().find(|c| vmcore::escape::is_control(*c) && *c != '\n' || *c == '\u{feff}');
        prop_assert_eq!(raw, None);
    }
}

#[test]
fn odd_numbers_end_no_picture() {
    let mut full = filled_with("x");
    for zone in full
        .report
        .memory
        .iter_mut()
        .flat_map(|memory| &mut memory.zones)
    {
        (zone.free, zone.managed, zone.min) = (i64::MIN, 0, Some(u64::MAX));
    }
    if let Some(memory) = &mut full.report.memory {
        memory.total_bytes = Some(u64::MAX);
        memory.free_bytes = Some(u64::MAX);
        memory.counters.insert("nr_anon_pages".into(), i64::MAX);
        memory.counters.insert("nr_kernel_stack".into(), i64::MIN);
    }
    for (n, line) in full.details.log.iter_mut().flatten().enumerate() {
        line.ns = Some(if n == 0 { 0 } else { u64::MAX });
    }
    let page = page(&full);
    assert_eq!(fault(&page), None);
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}
