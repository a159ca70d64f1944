//! Children with deadlines: PID 1 waits for nothing else.
//!
//! The supervisor polls the child's pipe and a signalfd, so it never blocks: not on a device, not on a
//! child that is stuck in the kernel (it is killed, and abandoned if it does not die), not on one that
//! floods its pipe.

use super::child::{Child, Follow};
use super::console::Console;
use super::memory::{self, Peak};
use super::watchdog::Watchdogs;
use crate::fault::{self, Fault};
use crate::ladder::{Answer, End, Limit, Runner};
use crate::protocol::{Event, Facts, Job, Order};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plan::Plan;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use store::manifest::Step;

/// How long a killed child may take to go away before it is abandoned.
const GRACE: Duration = Duration::from_secs(2);

/// How long a child may take to exit after it said how its job ended: files are closed by then, but a
/// slow disk may still take what it wrote.
const EXITING: Duration = Duration::from_secs(20);

/// How long PID 1 waits for its console before a step that ends something.
const FLUSH: Duration = Duration::from_secs(2);

/// The longest line of a child, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Soft errors and steps kept for the manifest.
const MAX_FACTS: usize = 200;

/// PID 1's state.
#[derive(Debug)]
pub(super) struct Supervisor {
    plan: Plan,
    program: PathBuf,
    follow: Follow,
    console: Console,
    watchdogs: Watchdogs,
    signals: SignalFd,
    init: bool,
    /// When the steps must be over. Jobs with reserved time ignore it.
    until: Instant,
    /// Why no further step may start, except those with reserved time.
    aborted: Option<&'static str>,
    facts: Facts,
    memory: Peak,
    /// The process group of a program that the child runs.
    group: Option<i32>,
}

impl Supervisor {
    /// Blocks signals, which arrive by a file from now on, and takes the console.
    ///
    /// # Errors
    /// When signals cannot be blocked. The console is given back.
    pub(super) fn new(
        plan: Plan,
        program: PathBuf,
        follow: Follow,
        console: Console,
        init: bool,
    ) -> Result<Self, (io::Error, Console)> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGCHLD,
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGPWR,
        ] {
            set.add(signal);
        }
        let signals = match set.thread_block().and_then(|()| {
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        }) {
            Ok(signals) => signals,
            Err(errno) => return Err((errno.into(), console)),
        };
        let watchdogs = if init && plan.after.feed_watchdog {
            Watchdogs::new(&plan.watchdogs)
        } else {
            Watchdogs::default()
        };
        let until = Instant::now() + Duration::from_secs(plan.after.deadline_s);
        Ok(Self {
            plan,
            program,
            follow,
            console,
            watchdogs,
            signals,
            init,
            until,
            aborted: None,
            facts: Facts::default(),
            memory: Peak::default(),
            group: None,
        })
    }

    /// The console.
    pub(super) fn console(&mut self) -> &mut Console {
        &mut self.console
    }

    /// Logs how much memory was in use at most.
    pub(super) fn say_peak(&mut self) {
        if let Some(line) = self.memory.line() {
            self.console.say(&line);
        }
    }

    /// Stops feeding and stops the watchdogs themselves, where that is possible.
    pub(super) fn release_watchdogs(&mut self) {
        self.watchdogs.release();
    }

    /// Runs a job in a child until it ends or its limit is over.
    pub(super) fn run(&mut self, job: Job, limit: Limit) -> Answer {
        let name = job.name();
        let begun = Instant::now();
        if matches!(job, Job::Finish { .. }) {
            // This job writes the log so far into the crash directory.
            self.say_peak();
            self.console.drain(FLUSH);
        }
        if self.init && fault::of(name) == Some(Fault::Freeze) {
            self.console
                .say(&format!("{name}: PID 1 stops, as the command line asks"));
            loop {
                std::thread::sleep(GRACE);
            }
        }
        let answer = match self.why_aborted().filter(|_| !limit.reserved) {
            Some(why) => Answer::new(End::Aborted(why), Vec::new()),
            None if limit.deadline.is_zero() => {
                Answer::new(End::Deadline(limit.deadline), Vec::new())
            }
            None => self.supervise(job, limit, true),
        };
        let seconds = begun.elapsed().as_secs_f64();
        let end = answer.end.words();
        self.console.say(&format!("{name}: {end} ({seconds:.1} s)"));
        if self.facts.steps.len() < MAX_FACTS {
            self.facts.steps.push(Step {
                name: name.into(),
                end,
                seconds: (seconds * 1000.0).round() / 1000.0,
            });
        }
        answer
    }

    /// The last job. No watchdog is fed any more.
    pub(super) fn run_last(&mut self, job: Job, deadline: Duration) {
        self.console.drain(FLUSH);
        self.supervise(job, Limit::reserved(deadline), false);
    }

    fn start(&self, job: Job, deadline: Duration) -> io::Result<Child> {
        let order = Order {
            plan: self.plan.clone(),
            job,
            deadline_s: deadline.as_secs(),
            init: self.init,
        };
        if self.init && !order.job.is_limited() {
            match Child::forked(&order, self.follow) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                other => return other,
            }
        }
        Child::started(&self.program, &order)
    }

    fn supervise(&mut self, job: Job, limit: Limit, feed: bool) -> Answer {
        let has_group = job.has_group();
        self.group = None;
        let answer = self.supervise_child(job, limit, feed);
        // Whatever became of the child: what it started goes, too.
        if let Some(group) = self.group.take().filter(|group| has_group && *group > 1) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        answer
    }

    fn supervise_child(&mut self, job: Job, limit: Limit, feed: bool) -> Answer {
        let mut events = Vec::new();
        let mut child = match self.start(job, limit.deadline) {
            Ok(child) => child,
            Err(error) => return Answer::new(End::NotStarted(error.to_string()), events),
        };
        if self.init && self.facts.steps.is_empty() {
            // The child is at work, so this delays nothing.
            self.console.unlimited();
            memory::do_not_wait_for_others();
        }
        let begun = Instant::now();
        let mut moved = begun;
        let mut said = None;
        let mut over: Option<(End, Instant)> = None;
        let mut killed = false;
        loop {
            let tick = if over.is_some() { 50 } else { 200 };
            self.wait(&child, tick);
            if self.init {
                self.memory.sample();
            }
            let (heard, end) = self.listen(&mut child, &mut events, &mut said);
            if heard {
                moved = Instant::now();
            }
            if let Some(status) = self.reap(child.pid) {
                // Drain the pipe: the child wrote this before it ended.
                let (_, last) = self.listen(&mut child, &mut events, &mut said);
                let reported = end.or(last).or(over.map(|(end, _)| end));
                let end = reported.unwrap_or(match status {
                    WaitStatus::Signaled(_, signal, _) => End::Killed(signal as i32),
                    WaitStatus::Exited(_, code) => End::Exited(code),
                    _ => End::Exited(-1),
                });
                return Answer::new(end, events);
            }
            if let Some((end, since)) = over.take() {
                if !killed && since.elapsed() > EXITING {
                    let _ = kill(child.pid, Signal::SIGKILL);
                    killed = true;
                    over = Some((end, Instant::now()));
                    continue;
                }
                if killed && since.elapsed() > GRACE {
                    self.console
                        .say(&format!("child {} does not go away; abandoned", child.pid));
                    let stuck = true;
                    return Answer { end, events, stuck };
                }
                over = Some((end, since));
                if feed && !killed {
                    self.watchdogs.feed();
                }
                continue;
            }
            let end = end.or_else(|| self.ending(begun, moved, limit));
            if let Some(end) = end {
                if !matches!(end, End::Done | End::Failed(_)) {
                    let _ = kill(child.pid, Signal::SIGKILL);
                    killed = true;
                }
                over = Some((end, Instant::now()));
            } else if feed {
                // Retry: a driver may have been loaded meanwhile.
                self.watchdogs.open(&mut self.console);
                self.watchdogs.feed();
            }
        }
    }

    /// Whether a child's time is over, and why.
    fn ending(&mut self, begun: Instant, moved: Instant, limit: Limit) -> Option<End> {
        if let Some(why) = self.why_aborted().filter(|_| !limit.reserved) {
            return Some(End::Aborted(why));
        }
        if begun.elapsed() > limit.deadline {
            return Some(End::Deadline(limit.deadline));
        }
        limit
            .stall
            .filter(|stall| moved.elapsed() > *stall)
            .map(End::Stalled)
    }

    /// The reason for an abort, if there is one.
    fn why_aborted(&mut self) -> Option<&'static str> {
        if self.aborted.is_none() && Instant::now() > self.until {
            self.aborted = Some("the time for everything is up");
        }
        self.aborted
    }

    /// Sleeps until the child says something, a signal comes, or `tick` milliseconds are over.
    fn wait(&mut self, child: &Child, tick: u16) {
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if child.open {
            fds.push(PollFd::new(child.pipe.as_fd(), PollFlags::POLLIN));
        }
        if poll(&mut fds, PollTimeout::from(tick)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = i32::try_from(info.ssi_signo).unwrap_or(0);
            if number != Signal::SIGCHLD as i32 {
                self.aborted = Some(if number == Signal::SIGINT as i32 {
                    "Ctrl-Alt-Del was pressed"
                } else {
                    "PID 1 was asked to end"
                });
            }
        }
    }

    /// Collects every child that ended, orphans too; answers how `pid` did.
    fn reap(&self, pid: Pid) -> Option<WaitStatus> {
        let any = self.init.then(|| Pid::from_raw(-1));
        let mut found = None;
        loop {
            match waitpid(any.unwrap_or(pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return found,
                Ok(status) => {
                    if status.pid() == Some(pid) {
                        found = Some(status);
                        if !self.init {
                            return found;
                        }
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return found.or(Some(WaitStatus::Exited(pid, -1))),
                Err(_) => return found,
            }
        }
    }

    /// Reads the lines that the child has written. Answers whether there was one, and the child's own
    /// result if it reported one.
    fn listen(
        &mut self,
        child: &mut Child,
        events: &mut Vec<Event>,
        said: &mut Option<Instant>,
    ) -> (bool, Option<End>) {
        let mut buf = [0u8; 4096];
        let mut heard = false;
        let mut end = None;
        // Bounded, so that a child that floods its pipe does not keep PID 1 from its deadlines.
        for _ in 0..256 {
            if !child.open {
                break;
            }
            let bytes = match child.pipe.read(&mut buf) {
                Ok(0) => {
                    child.open = false;
                    break;
                }
                Ok(n) => buf.get(..n).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            for byte in bytes {
                if *byte != b'\n' {
                    if child.line.len() < MAX_LINE {
                        child.line.push(*byte);
                    }
                    continue;
                }
                heard = true;
                let line = std::mem::take(&mut child.line);
                end = self.hear(&line, events, said).or(end);
            }
        }
        (heard, end)
    }

    fn hear(
        &mut self,
        line: &[u8],
        events: &mut Vec<Event>,
        said: &mut Option<Instant>,
    ) -> Option<End> {
        match serde_json::from_slice(line) {
            Ok(Event::Log(text)) => self.console.say(&text),
            Ok(Event::Soft(text)) => self.soft(text),
            Ok(Event::Progress(progress)) => {
                // A line a second is enough for every console.
                if said.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                    *said = Some(Instant::now());
                    self.console.say(&progress.line());
                }
            }
            Ok(Event::Alive) => {}
            Ok(Event::Group(group)) => self.group = Some(group),
            Ok(Event::Done) => return Some(End::Done),
            Ok(Event::Failed(why)) => return Some(End::Failed(why)),
            Ok(event) => {
                if events.len() < MAX_FACTS {
                    events.push(event);
                }
            }
            Err(_) => self.console.say(&String::from_utf8_lossy(line)),
        }
        None
    }
}

impl Runner for Supervisor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn run(&mut self, job: Job, limit: Limit) -> Answer {
        Self::run(self, job, limit)
    }

    fn say(&mut self, line: &str) {
        self.console.say(line);
    }

    fn soft(&mut self, line: String) {
        self.console.say(&line);
        if self.facts.soft_errors.len() < MAX_FACTS {
            self.facts.soft_errors.push(line);
        }
    }

    fn facts(&mut self) -> &mut Facts {
        self.facts.log = self.console.lines();
        &mut self.facts
    }

    fn time_left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}
