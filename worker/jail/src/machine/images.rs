//! Layers as images: one read-only file that a machine mounts, in place of a folder that it cannot
//! see. Made in a jail, since a layer's files belong to the jails' ids, and once for each layer.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use kiln_model::Limits;

use super::host::HostProgram;
use super::{MachineError, failed, make_open};
use crate::cancel::Cancel;
use crate::ids::IdMap;
use crate::launch::{End, Event, Launcher};
use crate::messages::StepExit;
use crate::plan::{BuildUser, Collect, Grants, Mount, Plan, Run, Step, User};

/// The name of a layer's image beside its tree. Goes up when images are made differently.
const IMAGE: &str = "image.v1.erofs";

/// The name of the writable layer of the jail that makes one.
const UPPER: &str = "root";

/// Where an image is made.
pub(crate) struct MakingPlace<'a> {
    /// A folder for the jail that makes it.
    pub(crate) folder: &'a Path,
    /// A folder with nothing in it.
    pub(crate) empty: &'a Path,
    /// The ids that the layer's files belong to.
    pub(crate) ids: &'a IdMap,
    /// Ends it.
    pub(crate) cancel: &'a Cancel,
}

/// Makes images.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    /// `mkfs.erofs`.
    pub(crate) program: HostProgram,
}

impl Images {
    /// The image of the layer whose tree this is: found beside it, or made now.
    ///
    /// ```text
    /// LAYER/
    ///   fs/               the tree
    ///   image.v1.erofs    the same as an image
    /// ```
    pub(crate) fn of(
        &self,
        tree: &Path,
        launcher: &Launcher,
        place: &MakingPlace<'_>,
    ) -> Result<PathBuf, MachineError> {
        let folder = tree.parent().filter(|_| tree.ends_with("fs"));
        let folder = folder.ok_or_else(|| MachineError::Tree(tree.to_owned()))?;
        let image = folder.join(IMAGE);
        if image.exists() {
            return Ok(image);
        }
        self.make(tree, &image, launcher, place)?;
        Ok(image)
    }

    fn make(
        &self,
        tree: &Path,
        image: &Path,
        launcher: &Launcher,
        place: &MakingPlace<'_>,
    ) -> Result<(), MachineError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        const DOING: &str = "making an image of a layer";
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = place.folder.join(format!("image-{count}"));
        make_open(&folder).and_then(|()| make_open(&folder.join(UPPER))).map_err(failed(DOING))?;
        let part = image.with_extension(format!("part-{}-{count}", std::process::id()));
        let mut file = File::create(&part).map_err(failed(DOING))?;
        let plan = self.plan(tree, folder.clone(), place);
        let mut told = Vec::new();
        let outcome = launcher.run(&plan, place.cancel, &mut |event| {
            match event {
                Event::Bytes(bytes) => file.write_all(bytes)?,
                Event::Log(bytes) => told.extend_from_slice(&bytes[..bytes.len().min(4096)]),
                _ => {}
            }
            Ok(())
        });
        let result = outcome.map_err(MachineError::from).and_then(|outcome| {
            let fine = outcome.steps.last().is_some_and(|it| it.exit == StepExit::Code(0));
            match outcome.end {
                End::Done if fine && file.metadata().is_ok_and(|about| about.len() > 0) => Ok(()),
                End::Cancelled => Err(MachineError::Cancelled),
                _ => Err(MachineError::Image(kiln_model::Foreign::from_bytes(&told))),
            }
        });
        let _ = fs::remove_dir_all(&folder);
        // Whoever finds it after a crash must find it whole.
        let kept = result.and_then(|()| {
            file.sync_all().and_then(|()| fs::rename(&part, image)).map_err(failed(DOING))
        });
        if kept.is_err() {
            let _ = fs::remove_file(&part);
        }
        kept
    }

    fn plan(&self, tree: &Path, folder: PathBuf, place: &MakingPlace<'_>) -> Plan {
        let at = |path: &str| path.to_owned();
        let mut mounts = vec![
            Mount::Overlay { at: at("/"), lowers: vec![place.empty.to_owned()], upper: at(UPPER) },
            Mount::ReadOnly { at: at("/layer"), from: tree.to_owned() },
        ];
        mounts.extend(self.program.mounts());
        // As plain bytes: unpacking costs a machine more than reading.
        let program = self.program.path.to_string_lossy().into_owned();
        let argv = [program, at("/image.erofs"), at("/layer")];
        Plan {
            hostname: at("build"),
            ids: place.ids.clone(),
            folder,
            mounts,
            steps: vec![Step {
                run: Run::Program { argv: argv.to_vec() },
                // To read files that are closed to everyone else.
                user: User::Root,
                cwd: at("/"),
                env: Vec::new(),
                also_fine: Vec::new(),
            }],
            collect: vec![Collect {
                upper: at(UPPER),
                folder: String::new(),
                suffix: at(".erofs"),
                depth: 0,
            }],
            limits: Limits { wall: 1800, silence: 1800, ..Limits::default() },
            cpus: Vec::new(),
            address_space: None,
            keep: Vec::new(),
            door: None,
            build_user: BuildUser::default(),
            grants: Grants::Guest,
            clock: None,
            without: Vec::new(),
        }
    }
}
