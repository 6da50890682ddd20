//! The narrator of the decisions: from a plan and what is in its packages to every RPM.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::Digest;

use super::alternatives::{self, Links};
use super::check::Offered;
use super::facts::{self, Capabilities};
use super::files::{self, Part};
use super::names::{Modules, Names};
use super::paths::Layout;
use super::relations::{Known, package_evr};
use super::{Deb, Dep, Entry, Evr, Recipe, Script, What};
use crate::arch::Arch;
use crate::debian::relation::clauses;
use crate::error::DebrpmError;
use crate::plan::{Package, Plan};
use crate::policy::{FilePolicy, Policy, Rules};
use crate::scan::{Fact, Kind, Scan};

/// No file of an RPM is older: archives hold files without a time.
const DATE_FLOOR: u32 = 315_532_800;

/// What stays the same for every package.
struct Context<'a> {
    arch: Arch,
    policy: &'a Policy,
    names: &'a Names,
    rules: &'a Rules<'a>,
    known: Known<'a>,
    modules: Modules,
    python: &'a str,
    links: Links,
    folders: &'a BTreeSet<String>,
    policy_digest: Digest,
}

/// Python's version in a distribution, as `3.13`: what `/usr/bin/python3` leads to.
pub(crate) fn python_version(scans: &BTreeMap<String, Scan>) -> String {
    let members = scans.values().flat_map(|scan| &scan.members);
    let target =
        members.filter(|member| member.path == "/usr/bin/python3").find_map(|member| match &member
            .kind
        {
            Kind::Link(target) => target.strip_prefix("python"),
            _ => None,
        });
    target.unwrap_or("3").to_owned()
}

/// Decides every RPM that the packages of `plan` become. `folders` are those that a package of
/// our own has.
pub(crate) fn decide(
    plan: &Plan,
    arch: Arch,
    scans: &BTreeMap<String, Scan>,
    python: &str,
    policy: &Policy,
    names: &Names,
    folders: &BTreeSet<String>,
) -> Result<Vec<Recipe>, DebrpmError> {
    let rules = policy.rules(arch, python)?;
    let layout = |package: &Package| Layout { arch, python, native: package.arch != "all" };
    let laid: Vec<(&str, Layout<'_>, &Scan)> = plan
        .packages
        .iter()
        .map(|package| (package.name.as_str(), layout(package), &scans[&package.name]))
        .collect();
    let modules = modules(scans);
    let owner = owners(&laid, &rules);
    let context = Context {
        arch,
        links: alternatives::choose(&laid, &policy.alternatives, &owner),
        known: known(plan, names, &modules),
        policy_digest: Digest::of(include_bytes!("../../data/policy.toml")),
        policy,
        names,
        rules: &rules,
        modules,
        python,
        folders,
    };
    let mut recipes = Vec::new();
    for (package, (_, layout, scan)) in plan.packages.iter().zip(&laid) {
        recipes.extend(context.recipes(package, *layout, scan)?);
    }
    Ok(recipes)
}

/// Leaves out what no package provides: sonames that only a program's own search path finds, and
/// requirements of ours that are for other sets of seeds. Gives what was left out, and for whom.
pub(crate) fn prune(recipes: &mut [Recipe]) -> Vec<String> {
    let snapshot = recipes.to_vec();
    let offered = Offered::by(&snapshot);
    let mut left_out = Vec::new();
    for recipe in recipes {
        recipe.requires.retain_mut(|dep| {
            let optional = dep.name.ends_with('?');
            let name = dep.name.trim_end_matches('?').to_owned();
            dep.name = name;
            let soft = optional || dep.name.contains(".so");
            let fine = !soft || offered.has(&dep.name);
            if !fine && !optional {
                left_out.push(format!("{}: {dep}", recipe.name));
            }
            fine
        });
    }
    left_out
}

/// Perl's modules of all packages.
fn modules(scans: &BTreeMap<String, Scan>) -> Modules {
    let mut modules = Modules::default();
    let members = scans.values().flat_map(|scan| &scan.members);
    for fact in members.flat_map(|member| &member.facts) {
        if let Fact::Perl(name, _) = fact {
            modules.insert(name);
        }
    }
    modules
}

/// Which package has which file, where an RPM root has it.
fn owners<'a>(
    laid: &[(&'a str, Layout<'_>, &'a Scan)],
    rules: &Rules<'_>,
) -> BTreeMap<String, &'a str> {
    let mut owner = BTreeMap::new();
    for (name, layout, scan) in laid {
        let policy = rules.of(name);
        for member in scan.members.iter().filter(|member| member.kind != Kind::Folder) {
            if !policy.drops(&member.path) {
                owner.insert(layout.place(&member.path), *name);
            }
        }
        owner.extend(policy.links.iter().map(|link| (link.path.clone(), *name)));
    }
    owner
}

/// The names and versions of all packages. Where two would get one name, the second keeps
/// Debian's.
fn known<'a>(plan: &'a Plan, names: &Names, modules: &Modules) -> Known<'a> {
    let mut taken = BTreeSet::new();
    let mut known = Known { packages: BTreeMap::new(), provided: BTreeMap::new() };
    for package in &plan.packages {
        let mut name = names.rpm_name(&package.name, modules);
        if !taken.insert(name.clone()) {
            name.clone_from(&package.name);
            taken.insert(name.clone());
        }
        let evr = package_evr(&package.version, names.epoch(&name));
        known.packages.insert(package.name.as_str(), (package, name, evr));
        for (provided, version) in package.provided() {
            known.provided.entry(provided).or_default().insert(version);
        }
    }
    known
}

impl Context<'_> {
    /// The RPMs that one Debian package becomes.
    fn recipes(
        &self,
        package: &Package,
        layout: Layout<'_>,
        scan: &Scan,
    ) -> Result<Vec<Recipe>, DebrpmError> {
        let policy = self.rules.of(&package.name);
        let links = self.links.get(&package.name).map(Vec::as_slice).unwrap_or_default();
        let parts = files::lay_out(scan, layout, &policy, links, self.folders)?;
        let mut recipes = Vec::new();
        for (into, part) in parts {
            recipes.push(self.recipe(package, layout, scan, &policy, into, part));
        }
        Ok(recipes)
    }

    fn recipe(
        &self,
        package: &Package,
        layout: Layout<'_>,
        scan: &Scan,
        policy: &FilePolicy<'_>,
        into: &str,
        part: Part<'_>,
    ) -> Recipe {
        let (_, main, evr) = &self.known.packages[package.name.as_str()];
        let split = policy.parts().find(|split| split.into == into);
        let name = split.map_or(main.as_str(), |split| split.into.as_str());
        let summary = split.map_or(&package.summary, |split| &split.summary).clone();
        let gathered = facts::gather(&part.members, self.python);
        let changes = part.entries.iter().any(|entry| {
            matches!(&entry.what, What::Slice { change, .. } if *change != super::Change::None)
        });
        let newest = scan.members.iter().map(|member| member.mtime).max().unwrap_or(0);
        Recipe {
            name: name.to_owned(),
            evr: evr.clone(),
            arch: layout.arch.of_package(&package.arch).to_owned(),
            description: format!(
                "{summary}.\n\nMade from Debian's package {} {}.",
                package.name, package.version
            ),
            summary,
            license: license(scan, package),
            url: package.homepage.clone(),
            group: package.section.clone(),
            provides: self.provides(package, name, evr, split.is_none(), &part, &gathered),
            requires: self.requires(package, name, evr, policy, &part, &gathered),
            conflicts: if split.is_none() { self.conflicts(package) } else { Vec::new() },
            entries: part.entries,
            scripts: self
                .names
                .triggers(name)
                .cloned()
                .map(Script::TransFileTrigger)
                .into_iter()
                .collect(),
            date: newest.max(DATE_FLOOR),
            deb: Some(Deb {
                name: package.name.clone(),
                digest: package.digest,
                size: package.size,
            }),
            policy: changes.then_some(self.policy_digest),
        }
    }

    /// What it provides besides its own name, sorted.
    fn provides(
        &self,
        package: &Package,
        name: &str,
        evr: &Evr,
        is_main: bool,
        part: &Part<'_>,
        gathered: &Capabilities,
    ) -> Vec<Dep> {
        let mut provides = gathered.provides.clone();
        let full = evr.to_string();
        let mut aliases: BTreeSet<String> = gathered.python.clone();
        if is_main {
            aliases.extend(self.names.aliases(&package.name, name));
            for (virtual_name, version) in package.provided() {
                let version = version.map(|version| super::relations::evr(version, 0).to_string());
                let version = version.unwrap_or_default();
                provides.insert(Dep::exact(virtual_name, &version));
                let module = self.modules.package(virtual_name);
                provides.extend(module.map(|module| Dep::exact(module, &version)));
                let abi = virtual_name.strip_prefix("perlapi-");
                provides.extend(abi.map(|abi| Dep::any(format!("perl(:MODULE_COMPAT_{abi})"))));
            }
        }
        aliases.retain(|alias| alias != name && !self.is_name_of_another(alias, package));
        provides.extend(aliases.iter().map(|alias| Dep::exact(alias, &full)));
        if package.arch != "all" {
            let isa = |alias: &String| Dep::exact(format!("{alias}({})", self.arch.isa), &full);
            provides.extend(aliases.iter().filter(|alias| !alias.contains('(')).map(isa));
        }
        if package.source == "perl" {
            provides.extend(gathered.provides.iter().filter_map(module_package));
        }
        if name.ends_with("-devel") && part.entries.iter().any(|entry| entry.path.ends_with(".a")) {
            aliases.insert(format!("{}-static", name.trim_end_matches("-devel")));
        }
        let general = name.replace(&format!("python{}", self.python), "python3.{python}");
        for text in self.names.provides(&general) {
            let text = text.replace("{version}", &evr.version).replace("{evr}", &full);
            provides.insert(Dep::parse(&text.replace("{python}", self.python)));
        }
        provides.extend(rooted(&part.entries, self.names.is_rooted(name)).map(Dep::any));
        provides.into_iter().collect()
    }

    fn is_name_of_another(&self, alias: &str, package: &Package) -> bool {
        self.known
            .packages
            .values()
            .any(|(other, name, _)| name == alias && other.name != package.name)
    }

    /// What it requires, sorted. The requirements of a package that is split come from its files
    /// and from the table only: Debian's are those of the whole.
    fn requires(
        &self,
        package: &Package,
        name: &str,
        evr: &Evr,
        policy: &FilePolicy<'_>,
        part: &Part<'_>,
        gathered: &Capabilities,
    ) -> Vec<Dep> {
        let mut requires = gathered.requires.clone();
        requires.insert(Dep { first: true, ..Dep::any("filesystem") });
        if !policy.is_split() {
            for clause in package.dependencies() {
                requires.extend(self.known.requirement(&clause, self.policy));
            }
        }
        let general = name.replace(&format!("python{}", self.python), "python3.{python}");
        for text in self.names.requires(&general) {
            let text = text.replace("{evr}", &evr.to_string()).replace("3.{python}", self.python);
            requires.insert(Dep::parse(&text));
        }
        let packages = format!("/python{}/site-packages/", self.python);
        if part.entries.iter().any(|entry| entry.path.contains(&packages)) {
            requires.insert(Dep::exact("python(abi)", self.python));
        }
        requires.retain(|dep| dep.name != name);
        requires.into_iter().collect()
    }

    /// Packages that it can't be installed with.
    fn conflicts(&self, package: &Package) -> Vec<Dep> {
        let mut conflicts: Vec<Dep> = clauses(&package.conflicts)
            .flatten()
            .filter(|relation| relation.name != package.name)
            .filter(|relation| self.known.packages.contains_key(relation.name))
            .filter_map(|relation| self.known.term(&relation))
            .collect();
        conflicts.sort();
        conflicts.dedup();
        conflicts
    }
}

/// `perl-Foo-Bar` for the `perl(Foo::Bar)` of Perl itself: RPM's world parts it so.
fn module_package(capability: &Dep) -> Option<Dep> {
    let module = capability.name.strip_prefix("perl(")?.strip_suffix(')')?;
    let fits = module.starts_with(|c: char| c.is_ascii_uppercase()) && !module.contains('.');
    let name = format!("perl-{}", module.replace("::", "-"));
    fits.then(|| Dep { name, ..capability.clone() })
}

fn license(scan: &Scan, package: &Package) -> String {
    if scan.license.is_empty() {
        format!("see /usr/share/doc/{}/copyright", package.name)
    } else {
        scan.license.clone()
    }
}

/// `/bin/sh` for `/usr/bin/sh`: specs and scripts ask for the paths of old.
fn rooted(entries: &[Entry], rooted: bool) -> impl Iterator<Item = &str> {
    entries
        .iter()
        .filter(move |_| rooted)
        .map(|entry| entry.path.as_str())
        .filter(|path| path.starts_with("/usr/bin/") || path.starts_with("/usr/sbin/"))
        .map(|path| &path[4..])
}
