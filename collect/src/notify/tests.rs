//! A crash on a tree of files, and every way to announce it.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const STAMP: &str = "20261121T231500Z";

/// A machine with a config, and programs that write down what they are given.
struct Machine {
    dir: tempfile::TempDir,
    config: Config,
}

impl Machine {
    fn new(notify: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().display();
        let notify = notify.replace("ROOT", &root.to_string());
        let config = Config::parse(&format!("[notify]\n{notify}")).unwrap();
        let machine = Self { dir, config };
        machine.put("var/crash/other", "");
        machine.program(
            "usr/sbin/sendmail",
            "echo \"$@\" >>$D/arguments; cat >>$D/mail",
        );
        machine.program(
            "told",
            "env >$D/environment; cat >$D/stdin; echo \"$1\" >>$D/runs",
        );
        machine.program("fails", "echo x >>$D/runs; exit 3");
        machine
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn program(&self, path: &str, script: &str) {
        let dir = self.root().display();
        self.put(path, &format!("#!/bin/sh\nD={dir}\n{script}\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.root().join(path), mode).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root().join(path)).ok()
    }

    fn crash(&self, stamp: &str, signature: &str) -> PathBuf {
        let dir = format!("var/crash/n-{stamp}");
        let manifest = serde_json::json!({
            "schema": 1, "afterpanic": "0", "verdict": "complete", "release": "6",
            "signature": signature, "class": "bug", "files": [], "soft_errors": [], "steps": [],
        });
        self.put(&format!("{dir}/manifest.json"), &manifest.to_string());
        self.put(
            &format!("{dir}/report.json"),
            "{\"schema\": \"afterpanic.report/1\"}",
        );
        self.put(
            &format!("{dir}/report.txt"),
            "n panicked\n.\n\u{1b}[31mred\n",
        );
        self.root().join(dir)
    }

    /// What `afterpanic collect` could not do.
    fn collect(&self) -> Vec<String> {
        let stores = [self.root().join("var/crash")];
        let done = crate::run(self.root(), &stores, false, &self.config).unwrap();
        done.problems
    }

    fn waits(&self) -> usize {
        let spool = fs::read_dir(self.root().join("var/lib/afterpanic/notify"));
        spool.map_or(0, Iterator::count)
    }
}

#[test]
fn nothing_leaves_the_machine_by_default() {
    let machine = Machine::new("");
    machine.crash(STAMP, "bug:f:1");
    assert_eq!(machine.collect(), [""; 0]);
    assert_eq!(machine.waits(), 0);
    let sent = send(machine.root(), &machine.config);
    assert!(sent.crashes.is_empty() && sent.problems.is_empty());
    assert_eq!(machine.text("mail"), None);
    request_metrics(machine.root(), &machine.config).unwrap();
    assert_eq!(machine.waits(), 0);
}

#[test]
fn the_message_at_login_stays_until_it_is_acknowledged() {
    let machine = Machine::new("");
    let message = || machine.text("var/lib/afterpanic/motd");
    assert_eq!(machine.collect(), [""; 0]);
    assert_eq!(message(), None);
    let path = machine.crash(STAMP, "bug:f\u{1b}[2J:1");
    machine.collect();
    let text = message().unwrap();
    assert!(text.contains("1 crash was saved"), "{text}");
    let line = format!("{STAMP}  bug:f\\x1b[2J:1  {}", path.display());
    assert!(text.contains(&line), "{text}");
    // Of the next boot: another crash.
    machine.crash("20261122T000000Z", "bug:g:2");
    machine.collect();
    assert!(message().unwrap().contains("2 crashes were saved"));
    assert_eq!(acknowledge(machine.root()).unwrap(), 2);
    assert_eq!(message(), None);
    machine.collect();
    assert_eq!(message(), None);
    assert_eq!(acknowledge(machine.root()).unwrap(), 0);
}

#[test]
fn a_crash_that_was_removed_is_in_no_message() {
    let machine = Machine::new("");
    let path = machine.crash(STAMP, "bug:f:1");
    machine.collect();
    fs::remove_dir_all(path).unwrap();
    machine.collect();
    assert_eq!(machine.text("var/lib/afterpanic/motd"), None);
}

#[test]
fn without_the_message_there_is_none() {
    let machine = Machine::new("login_message = false");
    machine.crash(STAMP, "bug:f:1");
    machine.collect();
    assert_eq!(machine.text("var/lib/afterpanic/motd"), None);
}

#[test]
fn the_journal_gets_a_record_unless_it_is_off() {
    for (key, records) in [("", 1), ("journal = false", 0)] {
        let machine = Machine::new(key);
        machine.put("run/systemd/journal/x", "");
        let socket = machine.root().join("run/systemd/journal/socket");
        let journal = std::os::unix::net::UnixDatagram::bind(socket).unwrap();
        journal.set_nonblocking(true).unwrap();
        machine.crash(STAMP, "bug:f:1");
        machine.collect();
        machine.collect();
        let mut buf = [0; 2048];
        let told = std::iter::from_fn(|| journal.recv(&mut buf).ok()).count();
        assert_eq!(told, records, "{key}");
    }
}

#[test]
fn the_command_gets_the_report_once() {
    let machine = Machine::new("command = [\"ROOT/told\", \"a b\"]");
    let path = machine.crash(STAMP, "bug:f:1");
    machine.collect();
    machine.collect();
    assert_eq!(machine.waits(), 1);
    assert_eq!(machine.text("runs"), None);
    let sent = send(machine.root(), &machine.config);
    assert_eq!((sent.crashes, sent.problems.len()), (vec![path.clone()], 0));
    let stdin = machine.text("stdin").unwrap();
    assert_eq!(stdin, "{\"schema\": \"afterpanic.report/1\"}");
    let environment = machine.text("environment").unwrap();
    for wanted in [
        format!("AFTERPANIC_PATH={}", path.display()),
        format!("AFTERPANIC_TIME={STAMP}"),
        "AFTERPANIC_VERDICT=complete".to_owned(),
        "AFTERPANIC_CLASS=bug".to_owned(),
        "AFTERPANIC_SIGNATURE=bug:f:1".to_owned(),
    ] {
        assert!(
            environment.lines().any(|line| line == wanted),
            "{environment}"
        );
    }
    assert!(send(machine.root(), &machine.config).crashes.is_empty());
    assert_eq!(machine.text("runs").unwrap(), "a b\n");
}

#[test]
fn a_mail_is_one_whatever_the_crash_is_called() {
    let machine = Machine::new("mail = \"root\"");
    machine.crash(STAMP, "bug:f\nBcc: all@example.org:1");
    machine.collect();
    let sent = send(machine.root(), &machine.config);
    assert_eq!(sent.problems, [""; 0]);
    assert_eq!(machine.text("arguments").unwrap(), "-oi -t\n");
    let mail = machine.text("mail").unwrap();
    let (headers, body) = mail.split_once("\n\n").unwrap();
    let subject = format!("Subject: n panicked at {STAMP}: bug:f?Bcc: all@example.org:1");
    assert!(headers.lines().any(|line| line == subject), "{mail}");
    assert!(!headers.contains("\nBcc"), "{mail}");
    assert!(headers.starts_with("To: root\n"), "{mail}");
    assert!(body.ends_with("n panicked\n.\n\\x1b[31mred\n"), "{mail}");
}

#[test]
fn a_way_that_fails_is_a_problem_and_the_other_is_taken() {
    let machine = Machine::new("command = [\"ROOT/fails\"]\nmail = \"root\"");
    machine.crash(STAMP, "bug:f:1");
    machine.collect();
    let sent = send(machine.root(), &machine.config);
    assert!(sent.crashes.is_empty());
    let problem = &sent.problems[0];
    assert!(
        problem.contains("fails failed: exit status: 3"),
        "{problem}"
    );
    assert!(machine.text("mail").is_some());
    assert!(send(machine.root(), &machine.config).problems.is_empty());
    assert_eq!(machine.text("runs").unwrap(), "x\n");
    // No mail system; a crash that is gone.
    fs::remove_file(machine.root().join("usr/sbin/sendmail")).unwrap();
    machine.crash("20261122T000000Z", "bug:f:1");
    let gone = machine.crash("20261123T000000Z", "bug:f:1");
    machine.collect();
    fs::remove_dir_all(gone).unwrap();
    let said = send(machine.root(), &machine.config).problems.join("\n");
    assert!(said.contains("Install a mail system"), "{said}");
    assert!(
        said.contains("no crash directory of this machine any more"),
        "{said}"
    );
}

#[test]
fn only_the_newest_crashes_are_sent() {
    let machine = Machine::new("mail = \"root\"");
    for hour in 10..24 {
        machine.crash(&format!("20261121T{hour}0000Z"), "bug:f:1");
    }
    machine.collect();
    assert_eq!(machine.waits(), MOST);
    let sent = send(machine.root(), &machine.config).crashes;
    assert_eq!(sent.len(), MOST);
    assert!(sent.last().unwrap().ends_with("n-20261121T230000Z"));
}

#[test]
fn metrics_are_a_file_that_others_read() {
    let machine = Machine::new("metrics = \"/metrics\"");
    machine.put("metrics/other.prom", "");
    machine.put("sys/kernel/kexec_crash_loaded", "0\n");
    let path = machine.crash(STAMP, "bug:f:1");
    machine.crash("20261122T000000Z", "bug:f:1");
    assert_eq!(machine.collect(), [""; 0]);
    let text = machine.text("metrics/afterpanic.prom").unwrap();
    for line in [
        "afterpanic_armed 0",
        "# TYPE afterpanic_crashes_total counter",
        "afterpanic_crashes_total{class=\"bug\",signature=\"bug:f:1\"} 2",
        "afterpanic_last_crash_timestamp 1795305600",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing in\n{text}"
        );
    }
    assert!(text.ends_with('\n'));
    let file = fs::metadata(machine.root().join("metrics/afterpanic.prom")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o644);
    assert_eq!(
        fs::read_dir(machine.root().join("metrics"))
            .unwrap()
            .count(),
        2
    );
    // A counter never falls, and armed follows the kernel when it is asked for.
    fs::remove_dir_all(path).unwrap();
    machine.put("sys/kernel/kexec_crash_loaded", "1\n");
    request_metrics(machine.root(), &machine.config).unwrap();
    assert_eq!(send(machine.root(), &machine.config).problems, [""; 0]);
    let text = machine.text("metrics/afterpanic.prom").unwrap();
    assert!(text.contains("afterpanic_armed 1\n"), "{text}");
    assert!(text.contains("signature=\"bug:f:1\"} 2\n"), "{text}");
}

#[test]
fn metrics_without_their_directory_are_a_problem() {
    let machine = Machine::new("metrics = \"/no/such\"");
    let problems = machine.collect();
    assert!(
        problems[0].contains("/no/such/afterpanic.prom"),
        "{problems:?}"
    );
}

#[test]
fn the_number_of_signatures_is_bounded() {
    let mut collected = BTreeMap::new();
    for n in 0..1000 {
        count(&mut collected, &format!("bug:f:{n}"));
        count(&mut collected, "bug:f:0");
    }
    assert_eq!(collected.len(), SIGNATURES + 1);
    assert_eq!(collected.values().sum::<u64>(), 2000);
    assert_eq!(collected["bug:f:0"], 1001);
}
