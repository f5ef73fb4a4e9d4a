//! Resolution of paths to the modules that define them, and a search for import cycles.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Import, Source};

/// The path of a module below the root of its crate. The path of the root is empty.
pub(crate) type Module = Vec<String>;

/// The modules of one crate, by path.
#[derive(Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Module, Source>,
    /// The declared modules whose source was not found.
    pub missing: Vec<Module>,
}

impl Crate {
    /// Reads the root and every module below it. `text` returns the source of a module.
    pub(crate) fn read(text: &mut impl FnMut(&Module) -> Option<String>) -> Self {
        let (mut modules, mut missing) = (BTreeMap::new(), Vec::new());
        let mut to_read = vec![Module::new()];
        while let Some(module) = to_read.pop() {
            let Some(source) = text(&module).map(|text| Source::parse(&text)) else {
                missing.push(module);
                continue;
            };
            to_read.extend(source.modules.iter().map(|name| child(&module, name)));
            modules.insert(module, source);
        }
        Self { modules, missing }
    }

    /// Returns the number of modules that were read.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    /// Returns the import cycles as sets of modules, first between files, and then between the folders and files that
    /// one module declares.
    pub(crate) fn cycles(&self) -> Vec<BTreeSet<String>> {
        let edges = self.edges();
        let mut cycles = components(&edges);
        for parent in self.modules.keys() {
            let below = |module: &Module| {
                (module.len() > parent.len() && module.starts_with(parent)).then(|| module[..=parent.len()].to_vec())
            };
            let edges_below = edges.iter().filter_map(|(from, to)| Some((below(from)?, below(to)?)));
            cycles.extend(components(&edges_below.filter(|(from, to)| from != to).collect()));
        }
        cycles.sort();
        cycles.dedup();
        cycles
    }

    /// Returns pairs of modules. The first module of a pair uses an item that the second module defines.
    pub(crate) fn edges(&self) -> BTreeSet<(Module, Module)> {
        let mut edges = BTreeSet::new();
        for (module, source) in &self.modules {
            let imports = source.imports.iter().map(|import| (&import.path, import.name == "*"));
            for (path, is_glob) in imports.chain(source.paths.iter().map(|path| (path, false))) {
                let target = self.absolute(module, path, 8).and_then(|path| self.target(&path, is_glob));
                edges.extend(target.filter(|target| target != module).map(|target| (module.clone(), target)));
            }
        }
        edges
    }

    /// Converts a path in a module to a path from the root of the crate. Returns `None` for a path into another crate.
    fn absolute(&self, module: &Module, path: &[String], depth: u32) -> Option<Vec<String>> {
        let (mut base, mut rest) = (module.clone(), path);
        match path.first()?.as_str() {
            "crate" => (base, rest) = (Module::new(), &path[1..]),
            "self" | "super" => {
                rest = if path[0] == "self" { &path[1..] } else { path };
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let source = self.modules.get(module)?;
                let import = source.imports.iter().find(|import| import.name == first && import.path != path);
                if let Some(import) = import {
                    let path: Vec<String> = import.path.iter().chain(&path[1..]).cloned().collect();
                    return depth.checked_sub(1).and_then(|depth| self.absolute(module, &path, depth));
                }
                if !source.modules.iter().any(|module| module == first) {
                    return depth.checked_sub(1).and_then(|depth| self.through_glob(module, path, depth));
                }
            }
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// Converts a path whose first segment is a module from a glob import to a path from the root of the crate.
    fn through_glob(&self, module: &Module, path: &[String], depth: u32) -> Option<Vec<String>> {
        let globs = self.modules.get(module)?.imports.iter().filter(|import| import.name == "*");
        globs.filter(|glob| glob.path != path).find_map(|glob| {
            let from = self.absolute(module, &glob.path, depth)?;
            let source = self.modules.get(&from)?;
            let binds_name =
                source.modules.contains(&path[0]) || source.imports.iter().any(|import| import.name == path[0]);
            binds_name.then(|| from.into_iter().chain(path.iter().cloned()).collect())
        })
    }

    /// Returns the module that defines the item at a path from the root. If the path is that of a module, returns the
    /// module for a glob import, and `None` otherwise.
    fn target(&self, path: &[String], is_glob: bool) -> Option<Module> {
        let (target, is_module) = self.definition(&Module::new(), path, 16)?;
        (is_glob || !is_module).then_some(target)
    }

    /// Follows a path from a module through re-exports. Returns the module that defines the item, and `false`. If the
    /// path is that of a module, returns this module, and `true`.
    fn definition(&self, from: &Module, path: &[String], depth: u32) -> Option<(Module, bool)> {
        let depth = depth.checked_sub(1)?;
        let source = self.modules.get(from)?;
        let Some((first, rest)) = path.split_first() else { return Some((from.clone(), true)) };
        if self.modules.contains_key(&child(from, first)) {
            return self.definition(&child(from, first), rest, depth);
        }
        let follow = |import: &Import| {
            let path = self.absolute(from, &import.path, 8)?;
            let path: Vec<String> = path.iter().chain(rest).cloned().collect();
            self.definition(&Module::new(), &path, depth)
        };
        if let Some(import) = source.imports.iter().find(|import| import.name == *first) {
            return follow(import);
        }
        if !source.items.contains(first) {
            let globs = source.imports.iter().filter(|import| import.name == "*" && import.is_public);
            let mut inner = globs.filter_map(|glob| self.absolute(from, &glob.path, 8));
            if let Some(inner) = inner.find(|inner| self.defines(inner, first)) {
                return self.definition(&inner, path, depth);
            }
        }
        Some((from.clone(), false))
    }

    /// Returns `true` if a module defines or imports an item of this name.
    fn defines(&self, module: &Module, name: &String) -> bool {
        let Some(source) = self.modules.get(module) else { return false };
        source.items.contains(name) || source.imports.iter().any(|import| import.name == *name || import.name == "*")
    }
}

fn child(module: &Module, name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// Returns the strongly connected components of two or more modules.
fn components(edges: &BTreeSet<(Module, Module)>) -> Vec<BTreeSet<String>> {
    let reach = |start: &Module| {
        let (mut seen, mut to_visit) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(module) = to_visit.pop() {
            for (_, to) in edges.range((module.clone(), Module::new())..).take_while(|(from, _)| *from == module) {
                if seen.insert(to.clone()) {
                    to_visit.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> = edges.iter().map(|(from, _)| (from, reach(from))).collect();
    let mut cycles = BTreeSet::new();
    for (module, all) in reached.iter().filter(|(module, all)| all.contains(**module)) {
        let mutual = all.iter().filter(|other| reached.get(other).is_some_and(|targets| targets.contains(*module)));
        cycles.insert(mutual.map(name).collect());
    }
    cycles.into_iter().collect()
}

fn name(module: &Module) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}
