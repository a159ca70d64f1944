//! Pictures of numbers, as SVG.

use analysis::report::html::Out;
use std::collections::BTreeMap;

/// Days of a picture.
const DAYS: i32 = 90;
const HEIGHT: f64 = 80.0;
const WIDTH: f64 = 900.0;

/// Crashes a day, up to the newest day.
pub(super) fn days(out: &mut Out, days: &BTreeMap<i32, u64>) {
    let Some((last, _)) = days.last_key_value() else {
        return;
    };
    let first = last.saturating_sub(DAYS - 1);
    let most = days
        .range(first..=*last)
        .map(|(_, count)| *count)
        .max()
        .unwrap_or(1)
        .max(1);
    let total: u64 = days.range(first..=*last).map(|(_, count)| *count).sum();
    out.raw("<svg class=\"time\" role=\"img\"");
    out.attr("viewBox", format_args!("0 0 {WIDTH} {HEIGHT}"));
    out.attr(
        "aria-label",
        format_args!(
            "{total} crashes from {} to {}, at most {most} a day",
            day(first),
            day(*last)
        ),
    );
    out.raw("><rect class=\"bed\"");
    out.attr("width", WIDTH).attr("height", HEIGHT).raw("/>");
    let step = WIDTH / f64::from(DAYS);
    for (at, count) in days.range(first..=*last) {
        let height = (*count as f64 / most as f64 * HEIGHT).max(2.0);
        let x = f64::from(at.saturating_sub(first)) * step;
        out.raw("<rect class=\"k1\"");
        out.attr("x", format_args!("{:.1}", x + 1.0));
        out.attr("y", format_args!("{:.1}", HEIGHT - height));
        out.attr("width", format_args!("{:.1}", step - 2.0));
        out.attr("height", format_args!("{height:.1}"));
        out.raw("><title>")
            .text(format_args!("{}: {count}", day(*at)))
            .raw("</title></rect>");
    }
    out.raw("</svg>\n");
    // As text of the page: in the picture it would shrink with it.
    out.element(
        "p class=\"dim\"",
        format_args!("{} to {}, at most {most} a day", day(first), day(*last)),
    );
    out.raw("\n");
}

/// A bar for one row of a table.
pub(super) fn bar(out: &mut Out, part: u64, whole: u64) {
    let share = part as f64 / whole.max(1) as f64 * 100.0;
    out.raw("<svg class=\"bar\" aria-hidden=\"true\" preserveAspectRatio=\"none\" viewBox=\"0 0 100 12\">");
    out.raw("<rect class=\"bed\" width=\"100\" height=\"12\"/><rect class=\"used\" height=\"12\"");
    out.attr("width", format_args!("{share:.1}"))
        .raw("/></svg>");
}

/// A day for people.
pub(super) fn day(days: i32) -> String {
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    epoch
        .saturating_add(jiff::Span::new().days(days))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named() {
        assert_eq!(
            (day(0), day(20_786)),
            ("1970-01-01".into(), "2026-11-29".into())
        );
    }

    #[test]
    fn a_picture_says_what_it_shows() {
        let mut out = Out::default();
        days(
            &mut out,
            &BTreeMap::from([(20_786, 3), (20_785, 1), (1, 9)]),
        );
        let svg = out.finish();
        assert!(
            svg.contains("4 crashes from 2026-09-01 to 2026-11-29, at most 3 a day"),
            "{svg}"
        );
        let mut none = Out::default();
        days(&mut none, &BTreeMap::new());
        assert!(none.finish().is_empty());
    }
}
