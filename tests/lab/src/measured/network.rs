//! The table of targets on servers, beside kdump-utils' way, with the bars that it is held to.

use super::{CAPTURE, README, SUMMARY, Where, change, median, replace, replace_row};
use crate::network::Kind;
use anyhow::Result;

/// Most of the peer's time from panic to reboot, and of its image's bytes.
const BARS: (f64, f64) = (0.6, 0.1);

/// The peer, as the table names it.
const PEER: &str = "dracut and makedumpfile";

/// What one side took and made, all rounds.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    /// Seconds from panic to reboot.
    seconds: Vec<f64>,
    /// Bytes of each core.
    core: Vec<u64>,
    /// Bytes of the largest image.
    image: u64,
}

impl Rounds {
    /// One more round: seconds, bytes of the core and of the capture image.
    pub fn add(&mut self, seconds: f64, core: u64, image: u64) {
        self.seconds.push(seconds);
        self.core.push(core);
        self.image = self.image.max(image);
    }

    fn row(&self, target: &str, who: &str, image: &str, ratios: &str) -> String {
        let seconds: Vec<String> = self.seconds.iter().map(|s| format!("{s:.1}")).collect();
        let megabytes = |bytes: Option<&u64>| bytes.copied().unwrap_or_default() / 1_000_000;
        let core = match (
            megabytes(self.core.iter().min()),
            megabytes(self.core.iter().max()),
        ) {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        format!(
            "| {target} | {who} | {} | {:.1} | {core} | {image} | {ratios} |\n",
            seconds.join(", "),
            median(&self.seconds),
        )
    }
}

/// Both sides with a target on one server.
#[derive(Debug, Clone)]
pub struct Contest {
    /// The server.
    pub kind: Kind,
    /// Ours.
    pub ours: Rounds,
    /// The peer's.
    pub theirs: Rounds,
    /// Bytes of the peer's image without a squashfs.
    pub unsquashed: u64,
}

impl Contest {
    /// Both ratios of the image in words.
    #[allow(clippy::cast_precision_loss)]
    fn image(&self) -> String {
        let unsquashed = self.ours.image as f64 / self.unsquashed as f64;
        format!(
            "{:.2} ({unsquashed:.2} of one without squashfs)",
            self.ratios().1
        )
    }

    /// Ours divided by theirs: time, bytes of the image.
    #[allow(clippy::cast_precision_loss)]
    fn ratios(&self) -> (f64, f64) {
        (
            median(&self.ours.seconds) / median(&self.theirs.seconds),
            self.ours.image as f64 / self.theirs.image as f64,
        )
    }

    /// The bars that do not hold.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let (time, image) = self.ratios();
        let bars = [("time", time, BARS.0), ("image", image, BARS.1)];
        // What is not a number holds nothing.
        let holds = |is: f64, most: f64| is <= most;
        bars.iter()
            .filter(|(_, is, most)| !holds(*is, *most))
            .map(|(name, is, most)| format!("{name} {is:.2}, at most {most}"))
            .collect()
    }

    /// Medians and ratios in a line.
    #[must_use]
    pub fn line(&self, broken: &[String]) -> String {
        let (time, image) = self.ratios();
        let held = match broken {
            [] => "holds".to_owned(),
            broken => format!("DOES NOT HOLD: {}", broken.join("; ")),
        };
        format!(
            "{:<4} medians {:.1} / {:.1} s: {time:.2} of the time, bar {}; {image:.3} of the image, bar {}; {held}",
            self.kind.title(),
            median(&self.ours.seconds),
            median(&self.theirs.seconds),
            BARS.0,
            BARS.1
        )
    }
}

/// Writes the results into the pages.
///
/// # Errors
/// A page has no such table or row, or cannot be written.
pub fn write(of: &Where, on: &str, contests: &[Contest]) -> Result<()> {
    let rounds = contests.iter().map(|contest| contest.ours.seconds.len());
    let command = format!("cargo xtask bench --network {}", rounds.max().unwrap_or(0));
    change(CAPTURE, |page| {
        replace(page, "network", &table(of, on, &command, contests))
    })?;
    for contest in contests {
        let (cell, row) = summary(&of.date, &command, contest);
        change(SUMMARY, |page| replace_row(page, &cell, &row))?;
    }
    let (cell, row) = readme(&command, contests);
    change(README, |page| replace_row(page, cell, &row))
}

fn table(of: &Where, on: &str, command: &str, contests: &[Contest]) -> String {
    let mut text = format!(
        "{}\nOn: {on}. Seconds from the panic to the reboot. Bars: {} of the time, {} of the image.\n\n\
         | target | who | rounds | median | core, MB | image, bytes | ratio: time, image |\n|---|---|---|---|---|---|---|\n",
        of.line(&format!("{command} --update")),
        BARS.0,
        BARS.1
    );
    for contest in contests {
        let (time, image) = contest.ratios();
        let name = contest.kind.title();
        let ratios = format!("{time:.2}, {image:.3}");
        let ours = contest.ours.image.to_string();
        let theirs = format!(
            "{} ({} without squashfs)",
            contest.theirs.image, contest.unsquashed
        );
        text += &contest.ours.row(name, "afterpanic", &ours, &ratios);
        text += &contest.theirs.row(name, PEER, &theirs, "1, 1");
    }
    text
}

/// The row of the summary for one server: its first cell, and all of it.
fn summary(date: &str, command: &str, contest: &Contest) -> (String, String) {
    let cell = format!(
        "panic to reboot, target on an {} server",
        contest.kind.title()
    );
    let (time, _) = contest.ratios();
    let row = format!(
        "| {cell} | kdump-utils' way: dracut, makedumpfile 1.7.8 `-l -d 31` | {time:.2}; the image {} | \
         1 GiB guest, TCG, {date} | `{command}` | [capture](capture.md) |",
        contest.image()
    );
    (cell, row)
}

/// That of the front page.
fn readme(command: &str, contests: &[Contest]) -> (&'static str, String) {
    let cell = "panic to reboot, target on a server, 1 GiB VM";
    let each = |contest: &Contest| {
        let (time, _) = contest.ratios();
        format!(
            "{}: {time:.2}, image {}",
            contest.kind.title(),
            contest.image()
        )
    };
    let each: Vec<String> = contests.iter().map(each).collect();
    let row = format!(
        "| {cell} | kdump-utils' way: makedumpfile in a dracut image | {} | `{command}` |",
        each.join("; ")
    );
    (cell, row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn contest(kind: Kind, ours: &[f64], theirs: &[f64], images: (u64, u64)) -> Contest {
        let rounds = |seconds: &[f64], image| {
            let mut rounds = Rounds::default();
            for second in seconds {
                rounds.add(*second, 40_000_000, image);
            }
            rounds
        };
        Contest {
            kind,
            ours: rounds(ours, images.0),
            theirs: rounds(theirs, images.1),
            unsquashed: 12_000_000,
        }
    }

    #[test]
    fn a_bar_is_held_by_the_median_and_by_the_largest_image() {
        let broken = |ours: &[f64], theirs: &[f64], images| {
            contest(Kind::Nfs, ours, theirs, images).broken().len()
        };
        assert_eq!(broken(&[6.0, 9.0, 5.0], &[10.0, 30.0, 10.0], (10, 100)), 0);
        assert_eq!(broken(&[6.1, 9.0, 5.0], &[10.0, 30.0, 10.0], (10, 100)), 1);
        assert_eq!(broken(&[6.0, 9.0, 5.0], &[10.0, 30.0, 10.0], (11, 100)), 1);
        assert_eq!(broken(&[6.1], &[10.0], (11, 100)), 2);
        // Nothing was run: nothing holds.
        assert_eq!(broken(&[], &[], (0, 0)), 2);
    }

    #[test]
    fn the_table_has_both_sides_of_each_server() {
        let of = Where {
            date: "2031-02-03".into(),
            commit: "abcdef0".into(),
            machine: "M".into(),
        };
        let contests = [
            contest(
                Kind::Nfs,
                &[9.0, 8.0],
                &[30.0, 20.0],
                (2_000_000, 40_000_000),
            ),
            contest(Kind::Ssh, &[6.0], &[30.0], (3_000_000, 30_000_000)),
        ];
        let text = table(&of, "a guest", "C", &contests);
        for part in [
            "2031-02-03, commit abcdef0. Machine: M. Command: `C --update`.",
            "| NFS | afterpanic | 9.0, 8.0 | 9.0 | 40 | 2000000 | 0.30, 0.050 |",
            "| NFS | dracut and makedumpfile | 30.0, 20.0 | 30.0 | 40 | 40000000 (12000000 without squashfs) | 1, 1 |",
            "| SSH | afterpanic | 6.0 | 6.0 | 40 | 3000000 | 0.20, 0.100 |",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (_, row) = readme("C", &contests);
        assert!(
            row.contains(
                "| NFS: 0.30, image 0.05 (0.17 of one without squashfs); SSH: 0.20, image 0.10 (0.25 of one without squashfs) |"
            ),
            "{row}"
        );
    }

    /// What a run would write has its place in the pages as they are.
    #[test]
    fn the_pages_have_every_place() {
        let read = |page: &str| fs::read_to_string(crate::root().join(page)).unwrap();
        replace(&read(CAPTURE), "network", "x\n").unwrap();
        for kind in [Kind::Nfs, Kind::Ssh] {
            let one = contest(kind, &[1.0], &[2.0], (1, 10));
            replace_row(&read(SUMMARY), &summary("D", "C", &one).0, "x").unwrap();
        }
        replace_row(&read(README), readme("C", &[]).0, "x").unwrap();
    }
}
