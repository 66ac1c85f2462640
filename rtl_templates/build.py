"""A program as hardware."""

from hwquant.program.program import Program
from hwquant.rtl_templates.core import Accelerator


def accelerator(program: Program, *, loadable: bool = False) -> Accelerator:
    """The accelerator with the program's images in its memories; the host sends the weights if it is ``loadable``."""
    return Accelerator(
        program.config,
        program=list(program.words),
        weights=program.weight_image,
        parameters=program.parameter_image,
        checksum=program.checksum,
        loadable=loadable,
    )
