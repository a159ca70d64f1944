//! The plan, filled from the config and from what was resolved.

use config::Config;
use plan::{FirstKernel, Module, Plan};

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
    plan.dump = config.dump.settings();
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
    plan.keep = config.keep.settings();
    plan.after = config.after.settings();
    plan.hooks = config.hook.iter().map(config::Hook::settings).collect();
    plan
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
}
