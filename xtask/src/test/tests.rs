//! Counts of tests, and the scenarios that the shards run together.

use super::*;

#[test]
fn counts_are_read_from_both_kinds_of_line() {
    let cargo = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.2s";
    assert_eq!(
        counts(cargo),
        Some(Count {
            passed: 12,
            failed: 0,
            left_out: 1
        })
    );
    let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
    assert_eq!(
        counts(bad),
        Some(Count {
            passed: 3,
            failed: 2,
            left_out: 0
        })
    );
    assert_eq!(
        counts("14 passed, 2 failed"),
        Some(Count {
            passed: 14,
            failed: 2,
            left_out: 0
        })
    );
    assert_eq!(counts("the test passed"), None);
}

#[test]
fn the_shards_together_run_every_scenario_and_every_verb() {
    let shards = shards::all().unwrap();
    let full = steps(&Extent::Full).unwrap();
    let planned: Vec<&String> = full.iter().flat_map(|step| &step.panics).collect();
    let there: Vec<&String> = shards.iter().flat_map(|shard| &shard.scenarios).collect();
    assert_eq!(planned, there);
    let mut apart = 0;
    for shard in &shards {
        let one = steps(&Extent::Shard(shard.name.clone())).unwrap();
        assert!(needs(&Extent::Shard(shard.name.clone())).unwrap().len() >= 2);
        apart += one.len();
    }
    assert_eq!(apart, full.len());
    let names = [
        "format",
        "long tests",
        "the report in a browser",
        "server: reboot",
        "server: server",
    ];
    for name in names {
        assert!(full.iter().any(|step| step.name == name), "{name}");
    }
    assert!(steps(&Extent::Shard("no-such".into())).is_err());
}

#[test]
fn what_is_listed_and_did_not_run_is_missed() {
    let short = steps(&Extent::Short).unwrap();
    let panics: Vec<&String> = short.iter().flat_map(|step| &step.panics).collect();
    assert!(panics.iter().any(|name| *name == "sysrq"), "{panics:?}");
    let results = r#"{"scenarios": [{ "name": "sysrq-6.1-xfs", "passed": true }]}"#;
    assert!(stands_in(results, "sysrq-6.1-xfs"));
    assert!(!stands_in(results, "sysrq"));
    assert!(stands_in(results, "sysrq-6.1-"));
    assert!(not_run(&Extent::Short, 2)[0].starts_with("2 tests marked ignored"));
}

#[test]
fn the_fleet_ships_what_the_panics_left() {
    let short = steps(&Extent::Short).unwrap();
    let at = |name: &str| short.iter().position(|step| step.name == name).unwrap();
    assert!(at("fleet: tests") < at("fleet: over S3"));
    assert!(at("real panics") < at("fleet: over S3"));
    assert!(at("fleet: over S3") < at("fleet: its site in a browser"));
    let panics = shards::listed().unwrap();
    for name in ["sysrq", "kexec-load", "null-deref"] {
        assert!(panics.iter().any(|panic| panic == name), "{name}");
    }
}

#[test]
fn help_names_every_shard() {
    for shard in shards::all().unwrap() {
        let named = crate::HELP.split([',', ' ', '.', ':', '\n']);
        assert!(
            named.into_iter().any(|word| word == shard.name),
            "{}",
            shard.name
        );
    }
}

#[test]
fn a_command_without_counts_is_one_thing() {
    assert_eq!(
        step(Command::new("true")).unwrap(),
        Count {
            passed: 1,
            failed: 0,
            left_out: 0
        }
    );
    assert_eq!(
        step(Command::new("false")).unwrap(),
        Count {
            passed: 0,
            failed: 1,
            left_out: 0
        }
    );
    let mut liar = Command::new("sh");
    liar.args(["-c", "echo 5 passed, 0 failed; exit 1"]);
    assert_eq!(
        step(liar).unwrap(),
        Count {
            passed: 5,
            failed: 1,
            left_out: 0
        }
    );
}
