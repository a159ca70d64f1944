//! Whatever a file holds: no panic, no line without a row, and a config that can be read again.

use proptest::prelude::*;

use super::super::*;

const SUITES: [Suite; 6] = [
    Suite::KdumpConf,
    Suite::KdumpTools,
    Suite::Sysconfig,
    Suite::Suse,
    Suite::OpenEmbedded,
    Suite::Kdumpst,
];

/// Pieces that make lines near those of real files.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "path ",
        "ext4 ",
        "nfs ",
        "UUID=x",
        "core_collector makedumpfile -ld31",
        "dracut_args --mount",
        "failure_action dump_to_rootfs",
        "KDUMP_COREDIR=",
        "KDUMP_SAVEDIR=",
        "NFS=",
        "KDUMP_CPUS=3",
        "KDUMP_CMDLINE_APPEND=",
        "KDUMP_COMMANDLINE_REMOVE=",
        "KDUMP_KERNELVER=",
        "MAKEDUMP_ARGS=",
        "$KDUMP_COREDIR",
        "${KDUMP_CPUS:-1}",
        "$(date)",
        "`uname -r`",
        "\"",
        "'",
        "\\",
        "\n",
        "\n",
        "\n",
        " ",
        "#",
        ";",
        "&&",
        "|",
        "if ",
        "fi",
        "{",
        "}",
        "(",
        ")",
        "<<X",
        "+=",
        "=",
        "/var/crash",
        "..",
        "export ",
        "ä",
        "\t",
        "\r\n",
        "$",
        "${",
        "-z -d 17",
        "--config x",
        "\0",
        "31",
        "\u{2028}",
    ];
    prop_oneof![
        8 => prop::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => ".{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_line_has_a_row_and_the_config_reads_back(
        pieces in prop::collection::vec(piece(), 0..40),
        suite in prop::sample::select(SUITES.to_vec()),
        skip in 0_usize..6,
    ) {
        let text = pieces.concat();
        let path = Path::new("/etc/file");
        let source = Source { path, suite, text: &text };
        let imported = import(&[source], &[(path, skip)]);
        for (line, text) in (1..).zip(text.lines()) {
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let covered = imported.rows.iter().any(|row| (row.line..=row.last).contains(&line));
            prop_assert!(covered, "line {} has no row: {:?}", line, text);
        }
        // Rows of kdump.conf are one a line.
        if suite == Suite::KdumpConf {
            let meant = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
            prop_assert_eq!(imported.rows.len(), meant.count());
        }
        for row in &imported.rows {
            prop_assert!(row.outcome == Outcome::Taken || !row.why.is_empty());
        }
        if !imported.blocks() {
            let shown = imported.config.show_changed();
            let again = Config::parse(&shown).ok();
            prop_assert_eq!(again.as_ref(), Some(&imported.config), "{}", shown);
        }
        let _ = Source::of(Path::new("/etc/sysconfig/kdump"), &text);
    }
}

#[test]
fn a_hostile_file_is_read_in_time() {
    let begun = std::time::Instant::now();
    for text in [
        "A=\"$A$A$A$A x\"\n".repeat(2_000),
        "$(".repeat(32_000),
        "${A".repeat(16_000),
        "x\n".repeat(32_000),
        "KDUMP_CPUS=1;".repeat(5_000),
        "`\\".repeat(32_000),
    ] {
        for suite in [Suite::KdumpConf, Suite::Suse] {
            let path = Path::new("/etc/file");
            let _ = import(
                &[Source {
                    path,
                    suite,
                    text: &text,
                }],
                &[],
            );
        }
    }
    // Unoptimised it takes seconds; what grows with the square of the length takes hours.
    assert!(begun.elapsed().as_secs() < 300, "{:?}", begun.elapsed());
}
