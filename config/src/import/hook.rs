//! Programs that other suites run in their capture kernel, as hooks.

use std::path::PathBuf;

use plan::{MOST_HOOKS, When};

use super::imported::{Fate, absolute};
use super::shell;
use crate::model::{Config, Hook};

/// Takes over a program with its arguments.
pub(super) fn program(when: When, command: &str, config: &mut Config, fate: &mut Fate) {
    let words = shell::words(command);
    let Some((program, args)) = words.split_first() else {
        return;
    };
    let program = match path(program) {
        Ok(program) => program,
        Err(why) => return fate.nothing(why),
    };
    if config.hook.len() >= MOST_HOOKS {
        return fate.nothing(format!("more than {MOST_HOOKS} hooks"));
    }
    let mut hook = Hook::new(when, program);
    hook.args = args.to_vec();
    config.hook.push(hook);
    fate.take(format!("a [[hook]] with when = \"{}\"", when.name()));
    fate.remark("it is killed after 30 s unless `deadline` says otherwise");
}

/// Takes over files that such programs need.
pub(super) fn files(list: &str, config: &mut Config, fate: &mut Fate) {
    for word in shell::words(list).iter().flat_map(|word| word.split(' ')) {
        match path(word) {
            _ if word.is_empty() => {}
            Ok(path) => {
                if !config.image.extra_files.contains(&path) {
                    config.image.extra_files.push(path);
                }
                fate.take("extra_files in [image]");
            }
            Err(why) => fate.nothing(why),
        }
    }
}

fn path(word: &str) -> Result<PathBuf, String> {
    match word.starts_with('/') {
        true => absolute(word),
        false => Err(format!("{word} is left out: write its absolute path")),
    }
}

/// A shell for the console after a failure.
pub(super) fn rescue(shell: &str, config: &mut Config, fate: &mut Fate) {
    config.after.rescue = Some(PathBuf::from(shell));
    fate.take(format!("rescue = \"{shell}\" in [after]"));
    fate.remark("it is closed after an hour unless `rescue_deadline` says otherwise");
}
