//! What the sections become in the plan.

use plan::FinalAction;

use crate::model::{Action, After, Dump, Hook, Keep};
use crate::units::Size;

impl Dump {
    /// `[dump]` as the plan carries it.
    #[must_use]
    pub fn settings(&self) -> dump::Dump {
        dump::Dump {
            level: self.level,
            format: self.format,
            keep_kinds: self.keep_kinds.clone(),
            never: self.never.clone(),
            allow_unfiltered: self.allow_unfiltered,
            max_size: self.max_size.map(Size::bytes),
            essential_max: self.essential_max.bytes(),
            keep_essential: self.keep_essential,
            recipients: self.recipients.clone(),
            seal: self.seal,
            manifest: self.manifest,
            host_tag: self.host_tag.clone(),
            threads: self.threads.set(),
            effort: self.effort.set(),
            worker_memory: self.worker_memory.set().map(Size::bytes),
            ..dump::Dump::default()
        }
    }
}

impl Keep {
    /// `[keep]` as the plan carries it.
    #[must_use]
    pub fn settings(&self) -> store::Keep {
        store::Keep {
            dumps: self.dumps,
            free: self.free.bytes(),
            loop_guard: self.loop_guard,
        }
    }
}

impl After {
    /// `[after]` as the plan carries it.
    #[must_use]
    pub fn settings(&self) -> plan::After {
        plan::After {
            success: self.success.into(),
            failure: self.failure.into(),
            deadline_s: self.deadline.seconds(),
            feed_watchdog: self.watchdog,
            rescue: self.rescue.as_ref().map(|shell| plan::Rescue {
                shell: shell.display().to_string(),
                deadline_s: self.rescue_deadline.seconds(),
            }),
        }
    }
}

impl Hook {
    /// A `[[hook]]` as the plan carries it.
    #[must_use]
    pub fn settings(&self) -> plan::Hook {
        plan::Hook {
            when: self.when,
            program: self.program.display().to_string(),
            args: self.args.clone(),
            deadline_s: self.deadline.seconds(),
        }
    }
}

impl From<Action> for FinalAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Reboot => Self::Reboot,
            Action::Poweroff => Self::Poweroff,
            Action::Halt => Self::Halt,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn the_defaults_of_config_and_plan_are_the_same() {
        let config = Config::default();
        assert_eq!(config.dump.settings(), dump::Dump::default());
        assert_eq!(config.keep.settings(), store::Keep::default());
        assert_eq!(config.after.settings(), plan::After::default());
    }

    #[test]
    fn hooks_and_the_rescue_console_arrive_in_the_plan() {
        let text = "[after]\nrescue = \"/bin/sh\"\nrescue_deadline = \"5min\"\n\
                    [[hook]]\nwhen = \"post\"\nprogram = \"/usr/local/sbin/tell\"\nargs = [\"-x\"]\n";
        let config = Config::parse(text).unwrap();
        let rescue = config.after.settings().rescue.unwrap();
        assert_eq!((rescue.shell.as_str(), rescue.deadline_s), ("/bin/sh", 300));
        let hook = config.hook.first().unwrap().settings();
        assert_eq!((hook.when, hook.deadline_s), (plan::When::Post, 30));
        assert_eq!(hook.args, ["-x"]);
        assert_eq!(Config::parse(&config.show()).unwrap(), config);
        assert_eq!(Config::parse(&config.show_changed()).unwrap(), config);
        for wrong in [
            "[[hook]]\nwhen = \"post\"\nprogram = \"tell\"\n",
            "[[hook]]\nwhen = \"now\"\nprogram = \"/tell\"\n",
            "[[hook]]\nwhen = \"pre\"\nprogram = \"/tell\"\ndeadline = \"11min\"\n",
            "[[hook]]\nprogram = \"/tell\"\n",
            "[after]\nrescue = \"sh\"\n",
            "[after]\nrescue_deadline = \"0s\"\n",
        ] {
            assert!(Config::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_host_tag_arrives_in_the_plan_and_is_a_directorys_name() {
        let parse = |tag: &str| Config::parse(&format!("[dump]\nhost_tag = \"{tag}\"\n"));
        let config = parse("fra1-web_03.x").unwrap();
        assert_eq!(
            config.dump.settings().host_tag.as_deref(),
            Some("fra1-web_03.x")
        );
        assert_eq!(Config::parse(&config.show()).unwrap(), config);
        for wrong in ["", "a/b", "..", ".hidden", "a b", &"x".repeat(65)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_loop_guard_and_the_memory_of_the_worker_arrive_in_the_plan() {
        let text = "[keep]\nloop_guard = false\n[dump]\nworker_memory = \"48MiB\"\n";
        let config = Config::parse(text).unwrap();
        assert!(!config.keep.settings().loop_guard);
        assert_eq!(config.dump.settings().worker_memory, Some(48 << 20));
        assert_eq!(Config::parse(&config.show()).unwrap(), config);
        let auto = Config::parse("[dump]\nworker_memory = \"auto\"\n").unwrap();
        assert_eq!(auto, Config::default());
    }
}
