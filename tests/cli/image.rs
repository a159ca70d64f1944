//! `afterpanic image` on images of other suites and on machines that have none.

use crate::harness::Machine;

/// A plain archive with one file, header and padding written out.
fn cpio(name: &str, content: &str) -> String {
    let entry = |name: &str, mode: u32, content: &str| {
        let mut out = format!("070701{:08x}{mode:08x}", 1);
        for field in [0, 0, 1, 0, content.len(), 0, 0, 0, 0, name.len() + 1, 0] {
            out.push_str(&format!("{field:08x}"));
        }
        out.push_str(name);
        out.push('\0');
        while out.len() % 4 != 0 {
            out.push('\0');
        }
        out.push_str(content);
        while out.len() % 4 != 0 {
            out.push('\0');
        }
        out
    };
    entry(name, 0o100_644, content) + &entry("TRAILER!!!", 0, "")
}

#[test]
fn any_image_is_listed_shown_and_extracted() {
    let machine = Machine::empty();
    machine.file("/other.img", &cpio("etc/motd", "hello\n"));
    let image = machine.path("/other.img");
    let image = image.to_str().unwrap();
    let run = machine.run(&["image", "list", image]).exits(0);
    assert!(run.stdout().contains("/etc/motd"), "{}", run.stdout());
    let json = machine
        .run(&["image", "list", "--json", image])
        .exits(0)
        .json();
    assert_eq!(json["schema"], "afterpanic.image-list/1");
    assert_eq!(json["files"][0]["bytes"], 6);
    assert_eq!(json["sections"][0]["compression"], "none");
    let run = machine.run(&["image", "show", "/etc/motd", image]).exits(0);
    assert_eq!(run.stdout(), "hello\n");
    machine
        .run(&["image", "show", "/etc/other", image])
        .exits(1);
    let dir = machine.path("/out");
    machine
        .run(&["image", "extract", dir.to_str().unwrap(), image])
        .exits(0);
    assert_eq!(
        std::fs::read_to_string(dir.join("etc/motd")).unwrap(),
        "hello\n"
    );
    machine
        .run(&["image", "extract", dir.to_str().unwrap(), image])
        .exits(1);
}

#[test]
fn what_is_no_image_is_refused() {
    let machine = Machine::empty();
    machine.file("/text", "no image at all");
    let text = machine.path("/text");
    let run = machine
        .run(&["image", "list", text.to_str().unwrap()])
        .exits(1);
    assert!(
        run.stderr().contains("neither a cpio archive"),
        "{}",
        run.stderr()
    );
}

#[test]
fn a_machine_without_proc_says_so() {
    let run = Machine::empty().run(&["image", "list"]).exits(1);
    assert!(
        run.stderr().contains("is /proc mounted?"),
        "{}",
        run.stderr()
    );
}
