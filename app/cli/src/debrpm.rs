pub(crate) use kiln_debrpm::Arguments;

use crate::Failure;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    kiln_debrpm::run(arguments).map_err(Failure::from)
}
