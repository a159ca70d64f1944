use super::*;

fn of() -> Where {
    Where {
        date: "2031-02-03".into(),
        commit: "abcdef0".into(),
        machine: "2 processors (X), 24 GiB, load 0.1 at the start".into(),
    }
}

fn contest(ours: &str) -> Contest {
    Contest {
        ours: ours.into(),
        theirs: "-z".into(),
        threads: 1,
        pairs: 3,
        seconds: (2.0, 8.0),
        bytes: (90 << 20, 100 << 20),
        bars: (0.5, 0.97),
    }
}

#[test]
fn only_what_is_between_the_markers_changes() {
    let page =
        "# A\n<!-- bench core -->\nold\n<!-- /bench -->\nB\n<!-- bench x -->\ny\n<!-- /bench -->\n";
    assert_eq!(
        replace(page, "core", "new\n").unwrap(),
        "# A\n<!-- bench core -->\nnew\n<!-- /bench -->\nB\n<!-- bench x -->\ny\n<!-- /bench -->\n"
    );
    assert!(replace(page, "gone", "new\n").is_err());
    assert!(replace(&page.repeat(2), "core", "new\n").is_err());
    assert!(replace("<!-- bench core -->\nold\n", "core", "new\n").is_err());
}

#[test]
fn a_row_is_known_by_its_first_cell() {
    let page = "| a | 1 |\n|---|---|\n| b c | 2 |\n";
    assert_eq!(
        replace_row(page, "b c", "| b c | 3 |").unwrap(),
        "| a | 1 |\n|---|---|\n| b c | 3 |\n"
    );
    assert!(replace_row(page, "b", "| b | 3 |").is_err());
}

#[test]
fn a_table_says_on_what_against_whom_when_where_and_how() {
    let text = contests_table(&of(), "a core", &[contest("elf-zst")]);
    for part in [
        "2031-02-03, commit abcdef0. Machine: 2 processors (X), 24 GiB",
        "`cargo xtask bench --update`",
        "On: a core. Medians of 3 pairs",
        "| elf-zst | `-z -d 31`, threads: 1 | 2.00 / 8.00 | 0.25 | 0.5 | 90 / 100 | 0.900 | 0.97 |",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let of_one = |who: &str, rounds: &[f64]| Machines {
        who: who.into(),
        cpu: 1,
        rounds: rounds.to_vec(),
        core: (34_000_000, 48_000_000),
    };
    let machines = [
        of_one("afterpanic elf-zst", &[9.0, 5.0, 6.0]),
        of_one("makedumpfile -l -d 31", &[8.0]),
    ];
    let text = machines_table(&of(), "a guest", &machines);
    for part in [
        "2031-02-03",
        "| 1 | afterpanic elf-zst | 9.0, 5.0, 6.0 | 6.0 | 0.75 | 34 to 48 |",
        "| 1 | makedumpfile -l -d 31 | 8.0 | 8.0 | 1.00 |",
        "`cargo xtask bench --machines 3 --update`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn summaries_repeat_the_ratios_of_machines() {
    let of_one = |who: &str, cpu, seconds: f64| Machines {
        who: who.into(),
        cpu,
        rounds: vec![seconds],
        core: (1, 1),
    };
    let both = [
        of_one(OURS, 0, 4.0),
        of_one("makedumpfile -l -d 31", 0, 8.0),
        of_one(OURS, 1, 6.0),
        of_one("makedumpfile -l -d 31", 1, 8.0),
    ];
    let ratios = [
        (0, ratio(&both[0], &both).unwrap()),
        (1, ratio(&both[2], &both).unwrap()),
    ];
    let (_, row) = summary_of_machines("2031-02-03", &ratios, "C");
    assert!(
        row.contains("| 0.50 (panic on CPU 0), 0.75 (panic on CPU 1) |"),
        "{row}"
    );
    let (_, row) = readme_of_machines(&ratios, "C");
    assert!(row.contains("| 0.50 to 0.75 |"), "{row}");
    let (_, row) = readme_of_machines(&ratios[..1], "C");
    assert!(row.contains("| 0.50 |"), "{row}");
    assert!(ratio(&both[0], &both[..1]).is_none());
}

/// What a run would write has its place in the pages as they are.
#[test]
fn the_pages_have_every_place() {
    let read = |page: &str| fs::read_to_string(crate::root().join(page)).unwrap();
    for name in ["core", "machines"] {
        let page = replace(&read(CAPTURE), name, "x\n").unwrap();
        assert!(!page.contains(&format!("<!-- bench {name} -->\n|")));
    }
    for format in ["elf-zst", "elf-lz4", "kdump-zstd"] {
        let contest = contest(format);
        for (cell, _) in rows(&contest) {
            replace_row(&read(SUMMARY), cell, "x").unwrap();
        }
        if let Some(cell) = readme_row(&contest) {
            replace_row(&read(README), cell, "x").unwrap();
        }
    }
    let ratios = [(0, 0.5)];
    replace_row(
        &read(SUMMARY),
        summary_of_machines("2031-02-03", &ratios, "C").0,
        "x",
    )
    .unwrap();
    replace_row(&read(README), readme_of_machines(&ratios, "C").0, "x").unwrap();
}

#[test]
fn a_machine_is_what_proc_says() {
    let said = machine(
        "processor\t: 0\nmodel name\t: AMD X\nprocessor\t: 1\nmodel name\t: AMD X\n",
        "MemTotal:       24500000 kB\n",
        "3.10 2 1 1/100 1\n",
    );
    assert_eq!(said, "2 processors (AMD X), 24 GiB, load 3.10 at the start");
}
