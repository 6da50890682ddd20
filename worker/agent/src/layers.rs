use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use kiln_model::{Digest, Fault, Faulty};

/// The layers of this worker, each named by the digest of everything that went into it.
///
/// ```text
/// layers.v1/
///   empty/              a layer with nothing in it
///   HEX/fs/             a layer's tree, owned by the jails' system ids
///   HEX/boot            the boot in which it was made; see below
///   HEX/settled         instead of that: it is known to be on the disk
///   HEX.lock            shared: in use; exclusive: being made or removed
/// ```
///
/// A layer is made without waiting for the disk. After a crash of the machine its files may be
/// there without their bytes, so a layer of an earlier boot counts only once it is settled.
#[derive(Debug, Clone)]
pub struct Layers {
    folder: PathBuf,
}

/// A layer, kept from being removed while this lives.
#[derive(Debug)]
pub struct Layer {
    /// Its name.
    pub key: Digest,
    /// Its tree.
    pub tree: PathBuf,
    _lock: File,
}

/// Why there is no layer.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}", path.display())]
pub struct LayerError {
    doing: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Faulty for LayerError {
    fn fault(&self) -> Fault {
        Fault::Host
    }

    fn hint(&self) -> Option<String> {
        (self.source.kind() == io::ErrorKind::StorageFull)
            .then(|| "free some disk space; 'kiln cache gc' removes what no lock needs".to_owned())
    }
}

fn error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> LayerError + 'a {
    move |source| LayerError { doing, path: path.to_owned(), source }
}

/// How long the kernel keeps what was written to itself, generously.
const WRITTEN_BACK: Duration = Duration::from_secs(120);

/// A layer that may have to be made.
pub(crate) enum Found {
    /// It is there.
    There(Layer),
    /// It is not; whoever holds this makes it.
    Missing(Making),
}

/// The right to make a layer.
pub(crate) struct Making {
    key: Digest,
    place: PathBuf,
    lock: File,
}

impl Layers {
    /// Opens the layers in `folder`.
    pub fn open(folder: &Path) -> Result<Self, LayerError> {
        let empty = folder.join("empty");
        fs::create_dir_all(&empty).map_err(error("creating", &empty))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// A layer with nothing in it: an overlay needs at least one.
    pub(crate) fn empty(&self) -> PathBuf {
        self.folder.join("empty")
    }

    /// Finds a layer; waits while another attempt makes it.
    pub(crate) fn find(&self, key: Digest) -> Result<Found, LayerError> {
        let place = self.folder.join(key.hex());
        loop {
            let lock = self.lock_file(&place)?;
            lock.lock_shared().map_err(error("locking", &place))?;
            if is_whole(&place) {
                note_use(&lock);
                return Ok(Found::There(Layer { key, tree: place.join("fs"), _lock: lock }));
            }
            // Locks are not upgraded but taken anew, and looked at again under the new one.
            drop(lock);
            let lock = self.lock_file(&place)?;
            lock.lock().map_err(error("locking", &place))?;
            if !is_whole(&place) {
                return Ok(Found::Missing(Making { key, place, lock }));
            }
        }
    }

    /// Every layer with the time of its last use.
    pub fn list(&self) -> Result<Vec<(Digest, SystemTime)>, LayerError> {
        let mut layers = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(error("listing", &self.folder))? {
            let entry = entry.map_err(error("listing", &self.folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(key) = Digest::from_hex(&name) else { continue };
            let lock = entry.path().with_extension("lock");
            let used = fs::metadata(&lock).and_then(|about| about.modified());
            layers.push((key, used.map_err(error("reading", &lock))?));
        }
        Ok(layers)
    }

    /// Takes a layer out of use for good; `None` while an attempt uses it. What is given back is
    /// the folder to be removed: its files belong to the jails' ids.
    pub fn retire(&self, key: Digest) -> Result<Option<PathBuf>, LayerError> {
        let place = self.folder.join(key.hex());
        let lock = self.lock_file(&place)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(error("locking", &place)(source)),
        }
        let retired = place.with_extension("retired");
        match fs::rename(&place, &retired) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(error("renaming", &place))?,
        }
        // The lock's file stays: someone may be waiting at it.
        Ok(Some(retired))
    }

    fn lock_file(&self, place: &Path) -> Result<File, LayerError> {
        let path = place.with_extension("lock");
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(error("opening", &path))
    }
}

impl Making {
    /// The name that the layer will have.
    pub(crate) fn key(&self) -> Digest {
        self.key
    }

    /// What lies where the layer is to be: left by a boot before this one, and to be removed.
    pub(crate) fn in_the_way(&self) -> Option<&Path> {
        self.place.exists().then_some(self.place.as_path())
    }

    /// Makes what a jail wrote, a folder with `fs` in it, the layer.
    pub(crate) fn finish(self, made: &Path) -> Result<Layer, LayerError> {
        let Self { key, place, lock } = self;
        let boot = made.join("boot");
        fs::write(&boot, boot_id()).map_err(error("writing", &boot))?;
        fs::rename(made, &place).map_err(error("naming", &place))?;
        note_use(&lock);
        // From alone to shared; nobody can take the layer away in between, since it is whole.
        lock.lock_shared().map_err(error("locking", &place))?;
        Ok(Layer { key, tree: place.join("fs"), _lock: lock })
    }
}

/// The time of a layer's last use is that of its lock.
fn note_use(lock: &File) {
    // On failure it only looks older than it is.
    let _ = lock.set_modified(SystemTime::now());
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn is_whole(place: &Path) -> bool {
    if place.join("settled").exists() {
        return true;
    }
    let boot = place.join("boot");
    let Ok(made_in) = fs::read_to_string(&boot) else { return false };
    if made_in != boot_id() {
        return false;
    }
    settle_if_written_back(place, &boot);
    true
}

/// Once the kernel has written everything by itself, asking for it costs nothing.
fn settle_if_written_back(place: &Path, boot: &Path) {
    let age = fs::metadata(boot)
        .and_then(|about| about.modified())
        .ok()
        .and_then(|made| made.elapsed().ok());
    if age.is_some_and(|age| age > WRITTEN_BACK)
        && let Ok(opened) = File::open(place)
        && rustix::fs::syncfs(&opened).is_ok()
    {
        let _ = fs::rename(boot, place.join("settled"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> (tempfile::TempDir, Layers) {
        let folder = tempfile::tempdir().expect("a folder");
        let layers = Layers::open(&folder.path().join("layers.v1")).expect("opened");
        (folder, layers)
    }

    fn make(folder: &Path, layers: &Layers, key: Digest) -> Layer {
        let Found::Missing(making) = layers.find(key).expect("looked") else {
            panic!("it is there already")
        };
        let made = folder.join("made");
        fs::create_dir_all(made.join("fs/usr")).expect("made");
        making.finish(&made).expect("finished")
    }

    #[test]
    fn a_layer_is_made_once_and_then_found() {
        let (folder, layers) = layers();
        let key = Digest::of(b"layer");
        let layer = make(folder.path(), &layers, key);
        assert!(layer.tree.join("usr").is_dir());
        drop(layer);
        assert!(matches!(layers.find(key).expect("looked"), Found::There(_)));
        assert_eq!(layers.list().expect("listed").len(), 1);
    }

    #[test]
    fn a_layer_in_use_is_not_retired() {
        let (folder, layers) = layers();
        let key = Digest::of(b"layer");
        let layer = make(folder.path(), &layers, key);
        assert_eq!(layers.retire(key).expect("asked"), None);
        drop(layer);
        let retired = layers.retire(key).expect("asked").expect("free");
        assert!(retired.join("fs/usr").is_dir());
        assert!(matches!(layers.find(key).expect("looked"), Found::Missing(_)));
    }

    #[test]
    fn a_layer_of_another_boot_counts_only_when_settled() {
        let (folder, layers) = layers();
        let key = Digest::of(b"layer");
        drop(make(folder.path(), &layers, key));
        let place = folder.path().join("layers.v1").join(key.hex());
        fs::write(place.join("boot"), "another boot").expect("written");
        assert!(matches!(layers.find(key).expect("looked"), Found::Missing(_)));
        fs::rename(place.join("boot"), place.join("settled")).expect("renamed");
        assert!(matches!(layers.find(key).expect("looked"), Found::There(_)));
    }
}
