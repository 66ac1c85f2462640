"""A program as hardware."""

from hwquant.program.program import Program
from hwquant.rtl_templates.core import Accelerator


def accelerator(
    program: Program, *, loadable: bool = False, page: int | None = None, hosted: bool = False
) -> Accelerator:
    """Make the accelerator that executes a program.

    Parameters
    ----------
    program : Program
        Its array, and the images that its memories hold.
    loadable : bool
        The weight memory has no initial contents: the host sends the weights.
    page : int or None
        Where the accelerator's part of external memory begins, in pages of 4 KiB; None: the host says so.
    hosted : bool
        External memory, where there is some, is this accelerator's alone, and has no contents: the host sends them.

    Returns
    -------
    Accelerator
        The component, not elaborated.
    """
    outside = program.config.external_bits > 0
    return Accelerator(
        program.config,
        program=[] if program.config.program_half else list(program.words),
        weights=[] if outside else program.weight_image,
        parameters=[] if outside else program.parameter_image,
        tables=program.table_image,
        checksum=program.checksum,
        loadable=loadable,
        page=0 if hosted else page,
        hosted_beats=len(program.external_image) if hosted else 0,
    )
