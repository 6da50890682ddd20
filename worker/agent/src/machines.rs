//! What machines are made of on this host: the guest's program, and a kernel.

use std::path::{Path, PathBuf};

use kiln_jail::{Launcher, MachineError, MicroVm, MicroVmSettings, Strength};

/// Opens machines for builds. A kernel is looked for in `kernels`, then in what was unpacked beside
/// the state, then on the host itself; `state` keeps what is made once.
pub fn open_machines(
    launcher: Launcher,
    kernels: &[PathBuf],
    state: &Path,
    strength: Strength,
) -> Result<MicroVm, MachineError> {
    let state = state.join("machine.v1");
    let mut places = kernels.to_vec();
    places.extend([state.join("kernel"), PathBuf::from("/")]);
    MicroVm::open(MicroVmSettings {
        launcher,
        program: kiln_guest::PROGRAM,
        kernels: places,
        state,
        strength,
    })
}
