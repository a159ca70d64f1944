//! From names to modules in load order: each after those it needs, with what it softly wants around it.
//!
//! modprobe's rules (kmod 29 to 34) with two differences. What is built in satisfies a soft
//! dependency even where a faster module exists. And a weak dependency is loaded before the module
//! that may ask for it later, because the capture kernel has no modprobe to answer then.

use std::collections::BTreeMap;

use crate::modules::{Found, Index, ModuleError};

/// No chain of modules is this long; a broken index could be.
const MAX_DEPTH: usize = 128;

/// Something asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A module's name or an alias.
    pub name: String,
    /// Who asks, in words that may follow "needed by".
    pub why: String,
    /// Whether nothing works without it.
    pub required: bool,
    /// The target that it is for, by its place in the config; what is for all is for the first.
    pub target: usize,
    /// Whether it drives a device of this machine.
    pub driver: bool,
}

impl Wanted {
    /// Something nothing works without.
    #[must_use]
    pub fn required(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            why: why.into(),
            required: true,
            target: 0,
            driver: false,
        }
    }

    /// The driver of a device that nothing works without.
    #[must_use]
    pub fn driver(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            driver: true,
            ..Self::required(name, why)
        }
    }

    /// Something that is nice to have.
    #[must_use]
    pub fn optional(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            required: false,
            ..Self::required(name, why)
        }
    }
}

/// A module that goes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picked {
    /// Its name as the kernel says it.
    pub name: String,
    /// Everybody who asked for it.
    pub why: Vec<String>,
    /// Whether one of them cannot do without.
    pub required: bool,
    /// The first target that needs it.
    pub target: usize,
}

/// What the names came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// The modules in load order, those that the first target needs first.
    pub modules: Vec<Picked>,
    /// What was asked for and is in the kernel image already, with who asked.
    pub builtin: Vec<(String, String)>,
    /// What was asked for softly and is nowhere, or was left out.
    pub notes: Vec<String>,
}

impl Closure {
    /// The module of this name, if it is in.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Picked> {
        self.modules.iter().find(|picked| picked.name == name)
    }
}

/// Resolves names and aliases, leaving out what `omit` names.
pub fn resolve(index: &Index, wanted: &[Wanted], omit: &[String]) -> Result<Closure, ModuleError> {
    let mut walk = Walk {
        index,
        omit: omit
            .iter()
            .map(|name| crate::modules::name_of(name))
            .collect(),
        stack: Vec::new(),
        target: 0,
        at: BTreeMap::new(),
        out: Closure::default(),
    };
    let mut wanted: Vec<&Wanted> = wanted.iter().collect();
    wanted.sort_by_key(|one| one.target);
    for one in wanted {
        walk.target = one.target;
        walk.ask(&one.name, &one.why, one.required)?;
    }
    Ok(walk.out)
}

struct Walk<'a> {
    index: &'a Index,
    omit: Vec<String>,
    /// Modules whose dependencies are being visited.
    stack: Vec<String>,
    /// The target that asks.
    target: usize,
    /// The index of each finished module in the result.
    at: BTreeMap<String, usize>,
    out: Closure,
}

impl Walk<'_> {
    /// A name or an alias.
    fn ask(&mut self, name: &str, why: &str, required: bool) -> Result<(), ModuleError> {
        match self.index.find(name) {
            Some(Found::Modules(names)) => {
                for name in names {
                    if self.stack.contains(&name) {
                        continue;
                    }
                    if self.omit.contains(&name) {
                        self.note(format!("{name} is left out by omit_modules ({why})"));
                        continue;
                    }
                    self.module(&name, why, required)?;
                }
                Ok(())
            }
            Some(Found::Builtin(found)) => {
                let entry = (found.clone(), why.to_owned());
                if !self.out.builtin.contains(&entry) {
                    self.out.builtin.push(entry);
                    self.before(&found)?;
                    self.after(&found)?;
                }
                Ok(())
            }
            None if required => Err(ModuleError::Unknown {
                name: name.to_owned(),
                why: why.to_owned(),
                release: self.index.release().to_owned(),
            }),
            None => {
                self.note(format!("{name} does not exist in this kernel ({why})"));
                Ok(())
            }
        }
    }

    /// A module by its own name, with everything it links to.
    fn module(&mut self, name: &str, why: &str, required: bool) -> Result<(), ModuleError> {
        if let Some(picked) = self
            .at
            .get(name)
            .and_then(|at| self.out.modules.get_mut(*at))
        {
            if !picked.why.iter().any(|known| known == why) {
                picked.why.push(why.to_owned());
            }
            if required && !picked.required {
                picked.required = true;
                let needs = self.index.module(name).map_or(&[][..], |m| &m.needs);
                for need in needs {
                    self.module(need, &format!("dependency of {name}"), true)?;
                }
            }
            return Ok(());
        }
        if let Some(from) = self.stack.iter().position(|other| other == name) {
            let mut circle = self.stack.split_off(from);
            circle.push(name.to_owned());
            return Err(ModuleError::Circle { circle });
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(ModuleError::Circle {
                circle: self.stack.clone(),
            });
        }
        let Some(module) = self.index.module(name) else {
            return self.ask(name, why, required);
        };
        self.stack.push(name.to_owned());
        self.before(name)?;
        for need in &module.needs {
            if self.omit.contains(need) {
                return Err(ModuleError::Omitted {
                    name: need.clone(),
                    needed_by: name.to_owned(),
                });
            }
            self.module(need, &format!("dependency of {name}"), required)?;
        }
        self.stack.pop();
        self.at.insert(name.to_owned(), self.out.modules.len());
        self.out.modules.push(Picked {
            name: name.to_owned(),
            why: vec![why.to_owned()],
            required,
            target: self.target,
        });
        self.after(name)
    }

    fn before(&mut self, name: &str) -> Result<(), ModuleError> {
        let Some(soft) = self.index.soft(name) else {
            return Ok(());
        };
        for (list, kind) in [(&soft.pre, "softdep"), (&soft.weak, "weakdep")] {
            for other in list {
                self.ask(other, &format!("{kind} of {name}"), false)?;
            }
        }
        Ok(())
    }

    fn after(&mut self, name: &str) -> Result<(), ModuleError> {
        let Some(soft) = self.index.soft(name) else {
            return Ok(());
        };
        for other in &soft.post {
            self.ask(other, &format!("softdep of {name}"), false)?;
        }
        Ok(())
    }

    fn note(&mut self, note: String) {
        if !self.out.notes.contains(&note) {
            self.out.notes.push(note);
        }
    }
}
