//! The page of `report --html` in a real browser.
//!
//! Reports of synthetic kernels, of a real panic that a virtual machine had, and one that is crowded. Each
//! must fit into 380 and 1400 pixels, fold, search, answer to the keyboard, read without script, print, and
//! say nothing on the console. Pictures of all stay in target/lab/pages.

mod site;

use crate::browser::Browser;
use analysis::report::details::{self, Full};
use analysis::report::html;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
pub use site::run as site;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use synth::kernel::{Crash, Kernel};

/// Widths of the window, in CSS pixels.
const WIDTHS: [u32; 2] = [380, 1400];
const HEIGHT: u32 = 900;
/// Pixels of the tallest picture.
const TALLEST: u32 = 6000;
/// Bytes that the page of an ordinary core may have.
const MOST: usize = 400_000;

/// What sticks out of the window, by element, but for what can be scrolled; nothing: an empty list.
const STICKS_OUT: &str = "(() => { const wide = [];
    if (document.documentElement.scrollWidth > innerWidth) wide.push('the page: ' + document.documentElement.scrollWidth);
    for (const e of document.body.querySelectorAll('*')) {
        if (e.closest('.scroll') !== null && !e.classList.contains('scroll')) continue;
        if (e.closest('svg') !== null && e.tagName !== 'svg') continue;
        if (e.closest('.hide, .skip, caption') !== null) continue;
        const box = e.getBoundingClientRect();
        if (box.width > 0 && (box.right > innerWidth + 1 || box.left < -1)) wide.push(e.tagName + '.' + e.getAttribute('class') + ' ' + box.right);
    }
    return wide.slice(0, 5); })()";

/// What a screen reader would miss: a picture, part, table or field without a name, and an id that is
/// given twice.
const NAMELESS: &str = "(() => { const bad = [];
    const named = e => e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean)
        .map(id => document.getElementById(id)).some(e => e && e.textContent.trim());
    for (const e of document.querySelectorAll('svg')) if (!e.closest('[aria-hidden]') && (e.getAttribute('role') !== 'img' || !named(e))) bad.push('svg');
    for (const e of document.querySelectorAll('section, aside, nav, [role=region]')) if (!named(e)) bad.push(e.tagName + ' ' + e.id);
    for (const e of document.querySelectorAll('table')) if (!e.caption || !e.caption.textContent.trim()) bad.push('table');
    for (const e of document.querySelectorAll('.scroll')) if (e.tabIndex !== 0) bad.push('cannot be scrolled by keyboard');
    for (const e of document.querySelectorAll('input')) if (!e.closest('label')) bad.push('input');
    if (document.querySelectorAll('h1').length !== 1) bad.push('h1');
    const ids = new Set();
    for (const e of document.querySelectorAll('[id]')) { if (ids.has(e.id)) bad.push('id ' + e.id); ids.add(e.id); }
    for (const e of document.querySelectorAll('nav a, .skip')) if (!document.querySelector(e.getAttribute('href'))) bad.push(e.href);
    return bad.slice(0, 5); })()";

/// Text that is hard to read: below 4.5 to 1 against what is behind it (WCAG 2.2, 1.4.3).
const FAINT: &str = "(() => { const faint = new Map();
    const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const behind = e => { const layers = []; for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        layers.push(c); if (c[3] === 1) break; } return layers.reduceRight((below, top) => over(top, below), [255, 255, 255, 1]); };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) { const e = texts.currentNode.parentElement;
        if (!texts.currentNode.data.trim() || !e.checkVisibility() || e.closest('svg, script, .hide, .skip, .guess')) continue;
        const ground = behind(e), ink = over(parse(getComputedStyle(e).color), ground);
        const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) faint.set(e.tagName + '.' + e.className, ratio.toFixed(2)); }
    return [...faint].slice(0, 8).map(String); })()";

/// Makes the pages and looks at them. True when all holds.
///
/// # Errors
/// The browser cannot be fetched or driven.
pub fn run() -> Result<bool> {
    let begun = Instant::now();
    let dir = crate::cache().join("pages");
    fs::create_dir_all(&dir)?;
    let mut browser = Browser::start()?;
    let mut failed = 0;
    let reports = reports()?;
    for (name, full) in &reports {
        let page = html::page(full);
        let file = dir.join(format!("{name}.html"));
        fs::write(&file, &page)?;
        let crowded = *name == "crowded";
        let small = page.len() <= MOST || crowded;
        match look(&mut browser, &dir, name, &file).and_then(|()| {
            ensure!(small, "{} bytes, more than {MOST}", page.len());
            Ok(())
        }) {
            Ok(()) => println!("ok      {name}, {} KiB", page.len() / 1024),
            Err(why) => {
                failed += 1;
                println!("FAILED  {name}: {why:#}");
            }
        }
    }
    println!(
        "{:.0} s; pictures in {}",
        begun.elapsed().as_secs_f64(),
        dir.strip_prefix(crate::root()).unwrap_or(&dir).display()
    );
    println!("{} passed, {failed} failed", reports.len() - failed);
    Ok(failed == 0)
}

/// The reports, by name.
fn reports() -> Result<Vec<(&'static str, Full)>> {
    let null = synthetic(Crash::NullPointer)?;
    let real = crate::root().join("tests/lab/pages/sysrq-6.12.json");
    let real = fs::read(&real).with_context(|| format!("Cannot read {}", real.display()))?;
    let real: Full = serde_json::from_slice(&real)?;
    let crowded = crowded(synthetic(Crash::HungTask)?);
    Ok(vec![
        ("null-pointer", null),
        ("hung-task", synthetic(Crash::HungTask)?),
        ("sysrq-6.12", real),
        ("crowded", crowded),
    ])
}

fn synthetic(crash: Crash) -> Result<Full> {
    let bytes = vmcore::dump::source::BytesSource(Kernel::new(crash).elf());
    let dump = vmcore::dump::open_source(Path::new("core"), Arc::new(bytes))?;
    Ok(details::full(&vmcore::kernel::Kernel::new(dump)?))
}

/// Many CPUs, tasks and waiters, and names as long as they come.
fn crowded(mut full: Full) -> Full {
    let long = "a_function_with_a_name_that_no_screen_is_wide_enough_for".repeat(4);
    let report = &mut full.report;
    report.system.command_line = Some(format!("root={long} {}", "quiet ".repeat(300)));
    report.reason.explanation = vec![long.clone(); 3];
    report.reason.oops.hardware = Some(long.clone());
    for at in report.stack.iter_mut().flatten().take(3) {
        at.function = long.clone();
    }
    if let Some(cpus) = &mut report.cpus
        && let Some(first) = cpus.first().cloned()
    {
        cpus.extend((2..256).map(|cpu| {
            let mut one = first.clone();
            (one.cpu, one.panicked, one.idle) = (cpu, false, cpu % 5 != 0);
            one
        }));
    }
    if let Some(blocked) = &mut report.blocked
        && let Some(first) = blocked.waiters.first().cloned()
    {
        for n in 0..90_u32 {
            let mut one = first.clone();
            one.task.pid = 1000 + i32::try_from(n).unwrap_or_default();
            one.task.address.0 = 0xffff_8880_1000_0000 + u64::from(n) * 0x1000;
            if n % 3 > 0
                && let Some(last) = blocked.waiters.last()
                && let Some(holder) = &mut one.holder
            {
                holder.task = last.task.clone();
            }
            blocked.waiters.push(one);
        }
        let first = blocked.waiters.first().map(|waiter| waiter.task.clone());
        let last = blocked.waiters.get(2).map(|waiter| waiter.task.clone());
        if let (Some(first), Some(last)) = (first, last) {
            blocked.cycles.push(vec![first.pid, last.pid]);
        }
    }
    if let Some(log) = &mut full.details.log {
        let lines = log.clone();
        log.extend((0..800).filter_map(|n| lines.get(n % lines.len().max(1)).cloned()));
    }
    full
}

/// Everything that is asked of one page.
fn look(browser: &mut Browser, dir: &Path, name: &str, file: &Path) -> Result<()> {
    for scheme in ["light", "dark"] {
        browser.scheme(scheme)?;
        for width in WIDTHS {
            browser.resize(width, HEIGHT)?;
            browser.open(file)?;
            let shown = || format!("{scheme}, {width} pixels");
            nothing(browser, STICKS_OUT, "sticks out").with_context(shown)?;
            if (width, scheme) != (380, "dark") {
                browser.screenshot(&picture(dir, &format!("{name}-{width}-{scheme}")), TALLEST)?;
            }
            browser.evaluate("document.getElementById('unfold').click()")?;
            nothing(browser, STICKS_OUT, "sticks out unfolded").with_context(shown)?;
        }
        nothing(browser, FAINT, "is hard to read").context(scheme)?;
    }
    on_paper(browser).context("on paper")?;
    browser.screenshot(&picture(dir, &format!("{name}-print")), TALLEST)?;
    browser.scheme("light")?;
    nothing(browser, NAMELESS, "has no name")?;
    folds(browser)?;
    searches(browser)?;
    browser.print(&dir.join(format!("{name}.pdf")))?;
    let said = browser.said();
    ensure!(said.is_empty(), "on the console: {}", said.join("\n"));
    without_script(browser, file)?;
    foreign(browser, file)
}

/// As wide as A4 with the usual margins. Nothing can be scrolled there.
fn on_paper(browser: &mut Browser) -> Result<()> {
    browser.resize(718, HEIGHT)?;
    browser.ask("Emulation.setEmulatedMedia", &json!({"media": "print"}))?;
    let sticks_out = STICKS_OUT.replace("if (e.closest('.scroll') !== null", "if (false");
    nothing(browser, &sticks_out, "is cut off")?;
    is(
        browser,
        "document.querySelector('nav').checkVisibility()",
        &json!(false),
    )
}

fn picture(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.png"))
}

/// Fails with what an expression lists.
fn nothing(browser: &mut Browser, expression: &str, what: &str) -> Result<()> {
    let found = browser.evaluate(expression)?;
    let list = found.as_array().context("no list")?;
    ensure!(list.is_empty(), "{what}: {found}");
    Ok(())
}

fn is(browser: &mut Browser, expression: &str, expected: &Value) -> Result<()> {
    let found = browser.evaluate(expression)?;
    ensure!(
        found == *expected,
        "{expression} is {found}, not {expected}"
    );
    Ok(())
}

fn folds(browser: &mut Browser) -> Result<()> {
    let open = "document.querySelectorAll('details[open]').length";
    browser.evaluate("document.getElementById('fold').click()")?;
    is(browser, open, &json!(0))?;
    browser.evaluate("document.getElementById('unfold').click()")?;
    is(
        browser,
        &format!("{open} === document.querySelectorAll('details').length"),
        &json!(true),
    )
}

/// By the keyboard alone.
fn searches(browser: &mut Browser) -> Result<()> {
    browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)")?;
    browser.press("/", 191, Some("/"))?;
    is(browser, "document.activeElement.id", &json!("search"))?;
    browser.ask("Input.insertText", &json!({"text": "Panic cpu"}))?;
    let rows = "[...document.querySelectorAll('.data tbody tr, .log li, .stack li')]";
    let shown = format!("{rows}.filter(e => !e.hidden)");
    until(
        browser,
        "document.getElementById('found').textContent !== ''",
    )?;
    let good =
        format!("{shown}.every(e => /panic/i.test(e.textContent) && /cpu/i.test(e.textContent))");
    is(browser, &good, &json!(true))?;
    let counted =
        format!("document.getElementById('found').textContent.startsWith({shown}.length + ' ')");
    is(browser, &counted, &json!(true))?;
    is(
        browser,
        &format!("{shown}.length < {rows}.length"),
        &json!(true),
    )?;
    browser.press("Escape", 27, None)?;
    is(
        browser,
        &format!("{shown}.length === {rows}.length"),
        &json!(true),
    )?;
    is(
        browser,
        "document.getElementById('search').value",
        &json!(""),
    )
}

fn until(browser: &mut Browser, expression: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while browser.evaluate(expression)? != true {
        ensure!(Instant::now() < deadline, "{expression} does not come true");
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// The same text can be read, and nothing that needs a script is offered.
fn without_script(browser: &mut Browser, file: &Path) -> Result<()> {
    browser.ask(
        "Emulation.setScriptExecutionDisabled",
        &json!({"value": true}),
    )?;
    browser.open(file)?;
    is(
        browser,
        "document.querySelector('.tools').checkVisibility()",
        &json!(false),
    )?;
    is(
        browser,
        "document.querySelector('h1').checkVisibility()",
        &json!(true),
    )?;
    // The first key of somebody without a mouse leads past the head.
    browser.press("Tab", 9, None)?;
    is(browser, "document.activeElement.className", &json!("skip"))?;
    browser.ask(
        "Emulation.setScriptExecutionDisabled",
        &json!({"value": false}),
    )?;
    Ok(())
}

/// What is not of the page neither runs nor loads.
fn foreign(browser: &mut Browser, file: &Path) -> Result<()> {
    browser.open(file)?;
    let add = "(() => { const s = document.createElement('script'); s.textContent = 'window.foreign = 1';
        document.body.append(s); const p = document.createElement('p'); p.setAttribute('style', 'color: red'); document.body.append(p);
        return [window.foreign === undefined, getComputedStyle(p).color !== 'rgb(255, 0, 0)']; })()";
    is(browser, add, &json!([true, true]))?;
    if browser.said().is_empty() {
        bail!("the policy stops nothing");
    }
    Ok(())
}
