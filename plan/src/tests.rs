//! The plan's shape is a contract between the image builder and PID 1.

use super::*;
use dump::Level;

const EXAMPLE: &str = r#"{
  "version": 1,
  "made_by": "0.1.0",
  "kernel": { "release": "6.12.107+deb13-cloud-amd64", "nodename": "web-03" },
  "dump": { "level": "standard", "format": "elf-zst", "never": ["user"] },
  "targets": [
    { "kind": { "filesystem": { "fstype": "xfs", "identity": { "uuid": "0a0b0c0d-1111-2222-3333-444455556666" },
        "uuid": "0a0b0c0d-1111-2222-3333-444455556666", "path": "/var/crash", "options": ["noatime"],
        "stack": [ { "partition": { "name": "vda1", "number": 1, "start": 2048, "sectors": 4096 } },
                   { "disk": { "name": "vda", "sectors": 8192 } } ] } },
      "deadline_s": 60 }
  ],
  "modules": [ { "path": "/lib/modules/virtio.ko", "name": "virtio" } ]
}"#;

#[test]
fn example_parses_with_defaults() {
    let plan = Plan::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(plan.source, "/proc/vmcore");
    assert_eq!(plan.dump.level, Level::Bits(31));
    assert_eq!(plan.keep.dumps, 5);
    assert_eq!(plan.targets[0].deadline_s, 60);
    assert_eq!(plan.targets[0].device_wait_s, 30);
    assert!(plan.modules[0].required);
    let again = Plan::parse(&plan.to_json().unwrap()).unwrap();
    assert_eq!(plan, again);
}

fn refused(change: impl FnOnce(&mut Plan)) -> String {
    let mut plan = Plan::parse(EXAMPLE.as_bytes()).unwrap();
    change(&mut plan);
    plan.validate().unwrap_err().to_string()
}

#[test]
fn wrong_plans_name_the_key() {
    assert!(refused(|p| p.version = 7).contains("version"));
    assert!(refused(|p| p.targets.clear()).contains("targets"));
    assert!(refused(|p| p.dump.never.push("usr".into())).contains("\"usr\""));
    assert!(refused(|p| p.modules.push(p.modules[0].clone())).contains("modules[1].name"));
    assert!(refused(|p| p.source = "vmcore".into()).contains("source"));
    assert!(refused(|p| p.after.deadline_s = 0).contains("after.deadline_s"));
    assert!(refused(|p| p.dump.threads = Some(0)).contains("threads"));
    assert!(refused(|p| p.dump.effort = Some(5)).contains("effort"));
    let hook = |program: &str, deadline_s: u64| Hook {
        when: When::Pre,
        program: program.into(),
        args: vec!["a".into()],
        deadline_s,
    };
    assert!(refused(|p| p.hooks.push(hook("x", 1))).contains("hooks[0].program"));
    assert!(refused(|p| p.hooks.push(hook("/x", 0))).contains("hooks[0].deadline_s"));
    assert!(refused(|p| p.hooks.push(hook("/x", 601))).contains("600 s"));
    assert!(refused(|p| p.hooks = vec![hook("/x", 1); 17]).contains("more than 16"));
    let rescue = Rescue {
        shell: "sh".into(),
        deadline_s: 1,
    };
    assert!(refused(|p| p.after.rescue = Some(rescue)).contains("rescue.shell"));
    let climbs = |p: &mut Plan| {
        p.targets[0].kind = TargetKind::Directory(Directory {
            path: "/a/../b".into(),
        });
    };
    assert!(refused(climbs).contains("climbs"));
}

#[test]
fn unknown_keys_are_errors() {
    for (from, to) in [
        ("\"made_by\"", "\"surprise\": 1, \"made_by\""),
        ("\"never\"", "\"nevr\": [], \"never\""),
        ("\"fstype\"", "\"fs\": 1, \"fstype\""),
        ("\"deadline_s\"", "\"deadline\""),
        ("\"number\"", "\"num\": 1, \"number\""),
    ] {
        let text = EXAMPLE.replace(from, to);
        assert_ne!(text, EXAMPLE);
        assert!(Plan::parse(text.as_bytes()).is_err(), "{to}");
    }
}

#[test]
fn on_a_server_nothing_is_removed_unless_its_target_says_so() {
    let text = |kind: &str, keep: &str| format!(r#"{{"kind": {kind}, "deadline_s": 1{keep}}}"#);
    let directory = r#"{"directory": {"path": "/x"}}"#;
    let nfs = r#"{"nfs": {"server": "nas", "export": "/srv", "path": "/x", "versions": ["3"], "ways": []}}"#;
    let mut plan = Plan::new(FirstKernel::default());
    for (kind, keep) in [
        (directory, ""),
        (nfs, ""),
        (nfs, r#", "keep": 20"#),
        (directory, r#", "keep": 0"#),
    ] {
        let target: Target = serde_json::from_str(&text(kind, keep)).unwrap();
        plan.targets.push(target);
    }
    let kept: Vec<u32> = (0..4).map(|at| plan.keep_on(at).dumps).collect();
    assert_eq!(kept, [5, 0, 20, 0]);
    assert_eq!(plan.keep_on(1).free, plan.keep.free);
}
