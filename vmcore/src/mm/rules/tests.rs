//! Which rules are on for which keys.

use super::*;
use synth::memmap::{Series, Toy};

fn info(series: Series, without: &[&'static str]) -> Vmcoreinfo {
    let mut toy = Toy::new(series, 1);
    toy.without = without.to_vec();
    Vmcoreinfo::parse(toy.vmcoreinfo().as_bytes())
}

fn form(rules: &Rules, rule: Rule) -> &'static str {
    let row = rules.on().iter().find(|(on, _)| *on == rule);
    row.map_or("off", |(_, kernels)| kernels)
}

#[test]
fn each_series_has_its_own_rows() {
    for (series, order, hugetlb, tail) in [
        (Series::V5_10, "4.18 to 6.2", "4.18 to 6.2", "4.3 to 7.0"),
        (Series::V6_3, "6.3 to 6.5", "6.3 to 6.5", "4.3 to 7.0"),
        (Series::V6_6, "6.6 and newer", "6.6 to 6.8", "4.3 to 7.0"),
        (Series::V6_9, "6.6 and newer", "6.9 and newer", "4.3 to 7.0"),
        (
            Series::V7_1,
            "6.6 and newer",
            "6.9 and newer",
            "7.1 and newer",
        ),
    ] {
        let rules = Rules::from_vmcoreinfo(&info(series, &[]));
        assert_eq!(form(&rules, Rule::Order), order);
        assert_eq!(form(&rules, Rule::Hugetlb), hugetlb);
        assert_eq!(form(&rules, Rule::Tail), tail);
        assert!(!rules.degraded());
    }
}

#[test]
fn a_missing_key_switches_off_what_needs_it() {
    let cases: [(&'static str, &[Rule]); 6] = [
        (
            "OFFSET(page.compound_head)",
            &[Rule::Tail, Rule::Cache, Rule::Anon, Rule::Hugetlb],
        ),
        (
            "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)",
            &[Rule::Slab, Rule::Cache, Rule::Anon],
        ),
        ("NUMBER(PG_lru)", &[Rule::Cache]),
        ("NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)", &[Rule::Hugetlb]),
        ("LENGTH(zone.free_area)", &[Rule::Free]),
        ("NUMBER(PG_hwpoison)", &[Rule::HwPoison]),
    ];
    let normal = [Rule::Unaccepted];
    for (key, expected) in cases {
        let rules = Rules::from_vmcoreinfo(&info(Series::V6_12, &[key]));
        let off: Vec<Rule> = rules.off().iter().map(|off| off.rule).collect();
        let wanted = Rule::ALL
            .into_iter()
            .filter(|rule| expected.contains(rule) || normal.contains(rule));
        assert_eq!(off, wanted.collect::<Vec<_>>(), "{key}");
        let reason = &rules.off().iter().find(|off| off.rule == expected[0]);
        assert!(reason.unwrap().reason.contains(key), "{reason:?}");
        assert_eq!(rules.degraded(), key != "NUMBER(PG_hwpoison)");
    }
}

#[test]
fn no_keys_no_rules() {
    let rules = Rules::from_vmcoreinfo(&Vmcoreinfo::parse(b"OSRELEASE=6.12.0\n"));
    assert_eq!(rules.off().len(), Rule::ALL.len());
    assert!(rules.degraded());
}

#[test]
fn an_unknown_encoding_of_types_is_not_guessed() {
    let mut text = Toy::new(Series::V6_12, 1).vmcoreinfo();
    text.push_str("NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-1000\n");
    let rules = Rules::from_vmcoreinfo(&Vmcoreinfo::parse(text.as_bytes()));
    for rule in [Rule::Typed, Rule::Free, Rule::Cache, Rule::Anon] {
        assert!(rules.is_off(rule), "{rule:?}");
    }
}

#[test]
fn offsets_outside_a_struct_page_are_refused() {
    for line in [
        "OFFSET(page.flags)=60",
        "OFFSET(page._mapcount)=64",
        "SIZE(page)=12",
    ] {
        let mut text = Toy::new(Series::V6_1, 1).vmcoreinfo();
        text.push_str(line);
        let rules = Rules::from_vmcoreinfo(&Vmcoreinfo::parse(text.as_bytes()));
        assert!(rules.is_off(Rule::Fields), "{line}");
    }
}

#[test]
fn rules_can_be_switched_off_one_by_one() {
    let rules = Rules::from_vmcoreinfo(&info(Series::V7_1, &[]));
    let without = rules.clone().without(Rule::Free, "its sums are wrong");
    assert!(!rules.is_off(Rule::Free) && without.is_off(Rule::Free));
    assert_eq!(without.decoder().reported(Kind::Free), Kind::Unknown);
    assert_eq!(without.decoder().reported(Kind::Anon), Kind::Anon);
    assert!(without.degraded());
}

#[test]
fn every_row_names_its_kernels_and_its_source() {
    for row in table::ROWS {
        assert!(row.kernels.contains(|c: char| c.is_ascii_digit()));
        assert!(
            row.source.contains(".h") || row.source.contains(".c"),
            "{}",
            row.source
        );
    }
}
