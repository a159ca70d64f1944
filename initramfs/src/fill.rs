//! The plan, filled from the config and from what was resolved.

use config::{Action, Auto, Config};
use dump::{Dump, Level};
use plan::{After, FinalAction, FirstKernel, Module, Plan};
use store::Keep;
use vmcore::write::OutputFormat;

use crate::closure::Closure;
use crate::resolve::Resolved;

/// The plan of an image.
pub(crate) fn plan(
    kernel: FirstKernel,
    config: &Config,
    resolved: &Resolved,
    closure: &Closure,
) -> Plan {
    let options = |name: &str| {
        let words: Vec<&str> = resolved
            .options
            .iter()
            .filter(|(module, _)| module == name)
            .map(|(_, value)| value.as_str())
            .collect();
        words.join(" ")
    };
    let mut plan = Plan::new(kernel);
    plan.dump = dump(config);
    plan.targets.clone_from(&resolved.targets);
    plan.watchdogs.clone_from(&resolved.watchdogs);
    plan.modules = closure
        .modules
        .iter()
        .map(|picked| Module {
            path: format!("/lib/modules/{}.ko", picked.name),
            name: picked.name.clone(),
            options: options(&picked.name),
            required: picked.required,
            target: picked.target,
        })
        .collect();
    plan.keep = Keep {
        dumps: config.keep.dumps,
        free: config.keep.free.bytes(),
        ..Keep::default()
    };
    plan.after = After {
        success: action(config.after.success),
        failure: action(config.after.failure),
        deadline_s: config.after.deadline.seconds(),
        feed_watchdog: config.after.watchdog,
    };
    plan
}

/// What the config says of what is dumped and how.
#[must_use]
pub fn dump(config: &Config) -> Dump {
    let from = &config.dump;
    Dump {
        level: match from.level.bits() {
            Some(bits) => Level::Bits(bits),
            None => Level::Essential,
        },
        format: match from.format {
            config::Format::ElfZst => Some(OutputFormat::ElfZst),
            config::Format::ElfLz4 => Some(OutputFormat::ElfLz4),
            config::Format::Elf => Some(OutputFormat::Elf),
            config::Format::KdumpZstd => Some(OutputFormat::KdumpZstd),
            config::Format::KdumpZlib => Some(OutputFormat::KdumpZlib),
            config::Format::None => None,
        },
        keep_kinds: from.keep_kinds.clone(),
        never: from.never.clone(),
        allow_unfiltered: from.allow_unfiltered,
        max_size: from.max_size.map(config::Size::bytes),
        essential_max: from.essential_max.bytes(),
        keep_essential: from.keep_essential,
        threads: match from.threads {
            Auto::Auto => None,
            Auto::Set(threads) => Some(threads),
        },
        ..Dump::default()
    }
}

fn action(action: Action) -> FinalAction {
    match action {
        Action::Reboot => FinalAction::Reboot,
        Action::Poweroff => FinalAction::Poweroff,
        Action::Halt => FinalAction::Halt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_config_and_plan_are_the_same() {
        let config = Config::default();
        let filled = plan(
            FirstKernel::default(),
            &config,
            &Resolved::default(),
            &Closure::default(),
        );
        assert_eq!(filled, Plan::new(FirstKernel::default()));
    }

    #[test]
    fn both_know_the_same_page_kinds() {
        assert_eq!(config::KINDS.to_vec(), dump::policy::names());
    }
}
