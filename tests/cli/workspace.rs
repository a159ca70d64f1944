//! The workspace's own shape: which crate names which, as ARCHITECTURE.md says.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Crate -> the crates of the workspace that it names outside tests.
type Edges = BTreeMap<String, Vec<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What the manifests say.
fn real() -> Edges {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "metadata",
            "--offline",
            "--locked",
            "--no-deps",
            "--format-version=1",
        ])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let of = |package: &serde_json::Value| {
        let mut names: Vec<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap().to_owned(), of(package)))
        .collect()
}

/// What ARCHITECTURE.md says: in the block marked `edges`, a line `crate: crate crate`.
fn documented() -> Edges {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, rest) = text
        .split_once("```edges\n")
        .expect("a block marked `edges`");
    let block = rest.split("```").next().unwrap();
    let line = |line: &str| {
        let (name, names) = line.split_once(':').unwrap();
        let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
        names.sort();
        (name.to_owned(), names)
    };
    block.lines().map(line).collect()
}

#[test]
fn the_edges_are_those_of_architecture_md() {
    assert_eq!(real(), documented());
}

#[test]
fn nothing_but_itself_links_the_capture_kernels_program() {
    for (name, names) in real() {
        assert!(
            !names.iter().any(|name| name == "capture"),
            "{name} names capture"
        );
    }
}
