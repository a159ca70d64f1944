//! What the capture may take: bytes of the image, memory of its workers.

use super::found::Found;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The image's size by `afterpanic status --json` on the console.
pub(super) fn image(console: &[&str], most: u64) -> Result<()> {
    let said = image_bytes(console).context("status does not say how large the image is")?;
    eprintln!("lab: the image has {said} bytes");
    ensure!(said <= most, "{said} bytes");
    Ok(())
}

/// `image.bytes` of the first object of that schema among the lines.
fn image_bytes(console: &[&str]) -> Option<u64> {
    let text = console.join("\n");
    let objects = text.match_indices("{\n").filter_map(|(at, _)| {
        let object = serde_json::Deserializer::from_str(text.get(at..)?);
        object.into_iter::<Value>().next()?.ok()
    });
    let is_status = |object: &Value| {
        let schema = object.get("schema").and_then(Value::as_str);
        schema.is_some_and(|schema| schema.starts_with("afterpanic.status/"))
    };
    let mut objects = objects.filter(is_status);
    objects.next()?.get("image")?.get("bytes")?.as_u64()
}

/// No worker had more resident at once: by its own words on the console, and of the core by the manifest.
pub(super) fn workers(found: &Found<'_>, mib: u64) -> Result<()> {
    let manifest: Value = serde_json::from_str(&found.text("manifest.json"))?;
    let core = manifest
        .get("core")
        .and_then(|core| core.get("peak_rss_kib"));
    let core = core.and_then(Value::as_u64).filter(|kib| *kib > 0);
    let core = core.context("The manifest does not say how much the core's worker needed")?;
    let others: Vec<u64> = found.crash.lines(true).filter_map(peak).collect();
    ensure!(
        !others.is_empty(),
        "the console says of no worker how much it needed"
    );
    let most = others.iter().copied().max().unwrap_or_default();
    eprintln!("lab: the core's worker had {core} KiB, others up to {most} KiB");
    ensure!(
        core.max(most) <= mib << 10,
        "the core's worker had {core} KiB, another {most} KiB"
    );
    Ok(())
}

/// The KiB in a line that ends so: `peak 12788 KiB`.
fn peak(line: &str) -> Option<u64> {
    let (_, rest) = line.rsplit_once(" peak ")?;
    rest.strip_suffix(" KiB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_found_among_other_lines() {
        let console = [
            "[    1.0] x {",
            "{",
            "  \"schema\": \"afterpanic.load/1\",",
            "  \"image\": { \"bytes\": 1 }",
            "}",
            "{",
            "  \"schema\": \"afterpanic.status/1\",",
            "  \"image\": {",
            "    \"bytes\": 1500000",
            "  }",
            "}",
            "guest: panics now",
        ];
        assert_eq!(image_bytes(&console), Some(1_500_000));
        assert!(image(&console, 1_500_000).is_ok());
        assert!(image(&console, 1_499_999).is_err());
        assert!(image(&console[..8], 1_500_000).is_err(), "it is cut off");
    }

    #[test]
    fn a_peak_ends_its_line() {
        let line = "essential: 7555 pages found and the report made in 1.9 s, peak 12788 KiB";
        assert_eq!(peak(line), Some(12_788));
        assert_eq!(peak("memory: peak 90 of 256 MiB"), None);
    }
}
