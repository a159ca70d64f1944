use super::*;

#[test]
fn memory_does_not_grow_with_the_log() {
    let mut collector = Collector::new();
    let mut push = |text: String| {
        collector.push(Line {
            text,
            ..Line::default()
        });
    };
    for i in 0..300 {
        push(format!(
            "WARNING: CPU: 1 PID: 7 at drivers/acme/a.c:{i} acme_{i}+0x1/0x2"
        ));
        for _ in 0..30 {
            push("x".repeat(1000));
        }
    }
    assert!(collector.found.len() <= KEPT);
    let bytes: usize = collector
        .found
        .iter()
        .flat_map(|found| &found.lines)
        .map(|line| line.text.len())
        .sum();
    assert!(bytes <= KEPT * (BLOCK_BYTES + 1000), "{bytes}");
    let reason = collector.finish();
    assert_eq!(reason.reports, 300);
    assert!(
        reason.headline.is_some_and(|line| line.contains("a.c:0 ")),
        "the first is kept"
    );
}
