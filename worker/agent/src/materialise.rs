//! From a lock to layers: the toolbox, the base, what a package adds.
//!
//! Installing runs scriptlets, so all of it happens in jails, and by the target's own rpm: the
//! host needs none and is not trusted with any.

use std::collections::BTreeSet;
use std::fs;

use kiln_jail::{Mount, Run, Step, User};
use kiln_model::{Digest, Fault, Hasher, Limits, Lock, LockedPackage};

use crate::commands::{self, PACKAGES};
use crate::control::LogKind;
use crate::error::{AttemptError, io_error};
use crate::jails::{Jails, Wanted};
use crate::layers::{Found, Layer, Layers, Making};

/// Goes up when layers are made differently: the old ones are then no longer found.
const LAYER_VERSION: u32 = 1;

/// Where the tree is that packages are installed into.
const TARGET: &str = "/target";

/// The name of the writable layer that becomes a layer of the store.
const NEW: &str = "new";

/// What making a buildroot took.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_ms: u64,
    /// Layers that had to be made.
    pub(crate) made: u32,
    /// Layers that were there.
    pub(crate) found: u32,
}

/// A buildroot: its layers, topmost last, kept for as long as this lives.
pub(crate) struct Root {
    layers: Vec<Layer>,
    toolbox: Digest,
    packages: BTreeSet<Digest>,
}

impl Root {
    /// The overlay at `/` with this buildroot under a writable layer.
    pub(crate) fn mount(&self, upper: &str) -> Mount {
        let lowers = self.layers.iter().rev().map(|layer| layer.tree.clone()).collect();
        Mount::Overlay { at: "/".to_owned(), lowers, upper: upper.to_owned() }
    }

    /// A buildroot of layers that are there already, the lowest first.
    pub(crate) fn of_layers(layers: &Layers, keys: &[Digest]) -> Result<Self, AttemptError> {
        let find = |key: &Digest| match layers.find(*key)? {
            Found::There(layer) => Ok(layer),
            Found::Missing(_) => Err(AttemptError::Unkept),
        };
        let layers = keys.iter().map(find).collect::<Result<Vec<_>, AttemptError>>()?;
        Ok(Self { layers, toolbox: Digest::of(b""), packages: BTreeSet::new() })
    }

    /// The layers, the lowest first.
    pub(crate) fn layers(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.key).collect()
    }

    fn top(&self) -> Option<Digest> {
        self.layers.last().map(|layer| layer.key)
    }
}

/// Makes buildroots.
pub(crate) struct Materialiser<'a> {
    pub(crate) jails: &'a Jails<'a>,
    pub(crate) layers: &'a Layers,
    pub(crate) cost: Cost,
}

impl Materialiser<'_> {
    /// The buildroot of a lock, on top of `base` where it only adds to it.
    pub(crate) fn root(&mut self, lock: &Lock, base: Option<&Root>) -> Result<Root, AttemptError> {
        let toolbox = self.toolbox(lock)?;
        let wanted: BTreeSet<Digest> = lock.packages.iter().map(|package| package.digest).collect();
        let fits = |base: &&Root| base.toolbox == toolbox.key && wanted.is_superset(&base.packages);
        let (mut layers, below, have) = match base.filter(fits) {
            Some(base) => {
                let layers = base.layers.iter().map(|layer| self.again(layer.key));
                (layers.collect::<Result<_, _>>()?, base.top(), base.packages.clone())
            }
            None => (Vec::new(), None, BTreeSet::new()),
        };
        let added: Vec<&LockedPackage> =
            lock.packages.iter().filter(|package| !have.contains(&package.digest)).collect();
        if !added.is_empty() {
            layers.push(self.layer(&toolbox, &layers, below, &added)?);
        }
        Ok(Root { layers, toolbox: toolbox.key, packages: wanted })
    }

    /// The name of a layer of packages. One that was made in a weakened jail is another one: nobody
    /// but the contest may find it. Bases are always made in whole jails, and found by all.
    fn key(&self, toolbox: Digest, below: Option<Digest>, packages: &[&LockedPackage]) -> Digest {
        let kind = match (self.jails.without, below) {
            ([], _) | (_, None) => "packages".to_owned(),
            (without, Some(_)) => format!("packages without {without:?}"),
        };
        layer_key(&kind, Some(toolbox), below, packages)
    }

    /// A layer that is in use already, once more.
    fn again(&self, key: Digest) -> Result<Layer, AttemptError> {
        match self.layers.find(key)? {
            Found::There(layer) => Ok(layer),
            Found::Missing(_) => Err(AttemptError::Unexpected("a layer in use is gone".to_owned())),
        }
    }

    /// The target's rpm with what it needs, unpacked and not installed.
    fn toolbox(&mut self, lock: &Lock) -> Result<Layer, AttemptError> {
        let packages: Vec<&LockedPackage> = lock.toolbox.iter().collect();
        let key = layer_key("toolbox", None, None, &packages);
        let making = match self.layers.find(key)? {
            Found::There(layer) => {
                self.cost.found += 1;
                return Ok(layer);
            }
            Found::Missing(making) => making,
        };
        let mounts = vec![
            Mount::Overlay {
                at: "/".to_owned(),
                lowers: vec![self.layers.empty()],
                upper: NEW.to_owned(),
            },
            self.hand_in(&packages)?,
        ];
        let unpack = Step {
            run: Run::Unpack { from: PACKAGES.to_owned() },
            user: User::Root,
            cwd: "/".to_owned(),
            env: Vec::new(),
            also_fine: Vec::new(),
        };
        self.make(making, mounts, unpack, "unpacking the toolbox", true)
    }

    /// What `added` puts on top of `below`, installed by the toolbox's rpm.
    fn layer(
        &mut self,
        toolbox: &Layer,
        lowers: &[Layer],
        below: Option<Digest>,
        added: &[&LockedPackage],
    ) -> Result<Layer, AttemptError> {
        let key = self.key(toolbox.key, below, added);
        let making = match self.layers.find(key)? {
            Found::There(layer) => {
                self.cost.found += 1;
                return Ok(layer);
            }
            Found::Missing(making) => making,
        };
        let mut lowers: Vec<_> = lowers.iter().rev().map(|layer| layer.tree.clone()).collect();
        if lowers.is_empty() {
            lowers.push(self.layers.empty());
        }
        let at = |path: &str| path.to_owned();
        let tools = vec![toolbox.tree.clone()];
        let mounts = vec![
            Mount::Overlay { at: at("/"), lowers: tools, upper: at("tools") },
            Mount::Proc { at: at("/proc") },
            Mount::Dev { at: at("/dev") },
            Mount::Memory { at: at("/tmp"), bytes: 64 << 20, mode: 0o1777 },
            self.hand_in(added)?,
            Mount::Overlay { at: at(TARGET), lowers, upper: at(NEW) },
            Mount::Proc { at: format!("{TARGET}/proc") },
            Mount::Dev { at: format!("{TARGET}/dev") },
        ];
        let names: Vec<String> = added.iter().map(|package| package.nevra.file_name()).collect();
        let install = commands::install_packages(&names, TARGET);
        self.make(making, mounts, install, "installing the buildroot", below.is_none())
    }

    fn make(
        &mut self,
        making: Making,
        mounts: Vec<Mount>,
        step: Step,
        doing: &'static str,
        is_whole: bool,
    ) -> Result<Layer, AttemptError> {
        if let Some(old) = making.in_the_way() {
            let aside = self.jails.slot.scratch.join(format!("old-{}", making.key().short()));
            fs::rename(old, &aside).map_err(io_error("moving aside", old))?;
        }
        let wanted = Wanted {
            name: "materialise",
            mounts,
            steps: vec![step],
            collect: Vec::new(),
            limits: Limits { silence: self.jails.limits.wall, ..self.jails.limits.clone() },
            address_space: None,
            is_whole,
            keep: vec![NEW.to_owned()],
            begin_with: None,
            way: None,
            log: LogKind::Root,
            doing,
            fault: Fault::Package,
        };
        let folder = self.jails.slot.scratch.join("materialise");
        let ran = match self.jails.run(wanted, None) {
            Ok(ran) => ran,
            Err(error) => {
                // What it wrote is kept by the plan; the slot is cleaned with it.
                let aside = folder.with_extension("failed");
                let _ = fs::rename(&folder, aside);
                return Err(error);
            }
        };
        self.cost.cpu_ms += ran.cpu_ms();
        self.cost.made += 1;
        let layer = making.finish(&ran.folder.join(NEW))?;
        fs::remove_dir_all(&ran.folder).map_err(io_error("removing", &ran.folder))?;
        let packages = self.jails.slot.scratch.join("packages");
        fs::remove_dir_all(&packages).map_err(io_error("removing", &packages))?;
        Ok(layer)
    }

    /// A folder with the packages' files, linked from the store.
    fn hand_in(&self, packages: &[&LockedPackage]) -> Result<Mount, AttemptError> {
        let from = self.jails.slot.scratch.join("packages");
        fs::create_dir(&from).map_err(io_error("creating", &from))?;
        for package in packages {
            let to = from.join(package.nevra.file_name());
            self.jails.cas.link(&package.digest, &to)?;
        }
        Ok(Mount::ReadOnly { at: PACKAGES.to_owned(), from })
    }
}

/// The digest of everything that goes into a layer.
fn layer_key(
    kind: &str,
    toolbox: Option<Digest>,
    below: Option<Digest>,
    packages: &[&LockedPackage],
) -> Digest {
    let mut hasher = Hasher::new();
    let mut line = |text: String| {
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
    };
    line(format!("kiln {kind} layer {LAYER_VERSION}"));
    for digest in [toolbox, below] {
        line(digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string()));
    }
    // The same files under other names are the same layer; the order is rpm's own business.
    let digests: BTreeSet<Digest> = packages.iter().map(|package| package.digest).collect();
    digests.into_iter().for_each(|digest| line(digest.to_string()));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use kiln_model::Reason;

    use super::*;

    fn package(name: &str) -> LockedPackage {
        LockedPackage {
            nevra: format!("{name}-1-1.noarch").parse().expect("a NEVRA"),
            repo: "base".to_owned(),
            location: format!("{name}.rpm"),
            size: 1,
            digest: Digest::of(name.as_bytes()),
            why: Reason::Profile(name.parse().expect("a requirement")),
        }
    }

    #[test]
    fn everything_that_goes_into_a_layer_is_in_its_name() {
        let (a, b) = (package("a"), package("b"));
        let tools = Some(Digest::of(b"tools"));
        let key = layer_key("packages", tools, None, &[&a, &b]);
        assert_eq!(key, layer_key("packages", tools, None, &[&b, &a]), "order is no input");
        for other in [
            layer_key("toolbox", tools, None, &[&a, &b]),
            layer_key("packages", None, None, &[&a, &b]),
            layer_key("packages", tools, tools, &[&a, &b]),
            layer_key("packages", tools, None, &[&a]),
        ] {
            assert_ne!(key, other);
        }
    }
}
