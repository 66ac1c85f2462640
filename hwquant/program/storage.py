"""Compiled programs in files: ``.hwp``, a :mod:`~hwquant.container` of kind "program".

``program.json`` holds the configuration, the layers and where tensors live; the memory images are arrays.

A program of any version up to `VERSION` is read, and runs on the hardware that is generated now, in the cycles that
it took: whatever changes an instruction, the images or the configuration raises the version. A newer one is refused.
Version 2 came with odd and ternary weights, narrow biases, lanes of more than 8 bits, and products; 3 with tables,
inputs with several rows of a kernel in a word, and layers that write to every n-th pixel; 4 with batches; 5 with
several arrays, inputs that the host sends as they are, a least shift, slots of more than 16 bits, and products in two
stages; 6 with layers that overlap, and strips of inputs that the host sends as they are; 7 with external memory: what
is known of it, and its image as an array besides; 8 with programs that come from there. What has none of it is written
as version 6.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwquant import container
from hwquant.copies import Grid
from hwquant.errors import Damaged, HwquantError
from hwquant.program.batch import LARGEST
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.isa import Opcode
from hwquant.program.layers import Destination
from hwquant.program.layout import Placement, WindowPacking
from hwquant.program.program import LayerInfo, Part, Program
from hwquant.program.raw_inputs import RawInput

Item = TypeVar("Item", LayerInfo, Placement, Part, WindowPacking)

KIND = "program"
VERSION = 8
INSIDE = 6
"""Version of a program without external memory."""

PROGRAM_INSIDE = 7
"""Version of a program that is inside, with external memory."""

_IMAGES: Mapping[str, tuple[type, int]] = {
    "bias": (np.int64, 1),
    "shift": (np.int64, 1),
    "multiplier": (np.int64, 1),
}
"""Dtype and number of dimensions of the images, besides the weights, that are arrays in a Program as well."""


def save(program: Program, path: str | os.PathLike[str]) -> None:
    """Write a program; the same program gives the same bytes.

    Parameters
    ----------
    program : Program
        The program.
    path : str or os.PathLike
        The file; its folder must exist.

    Raises
    ------
    HwquantError
        The file cannot be written.
    """
    parts = {name: dataclasses.asdict(part) for name, part in program.parts.items()}
    meta: dict[str, Any] = {
        "name": program.name,
        "config": program.config.to_json(),
        "layers": [layer.to_json() for layer in program.layers],
        "inputs": [_written(item) for item in program.inputs],
        "outputs": [_written(item) for item in program.outputs],
        "tensors": [_written(item) for item in program.tensors.values()],
        "checksum": program.checksum,
        **({"batch": program.batch} if program.batch > 1 else {}),
        **({"parts": parts} if parts else {}),
        **({"memory": program.memory.to_json()} if program.memory else {}),
    }
    images = {name: getattr(program, name) for name in ("weights", *_IMAGES)}
    if program.config.tables:
        images = {**images, "tables": program.tables}
    version = INSIDE
    if program.config.external_bits:
        images = {**images, "external": program.external_image}
        version = VERSION if program.config.program_half else PROGRAM_INSIDE
    container.write(path, KIND, version, {"program": meta}, {"words": _pack(program.words), **images})


def load(path: str | os.PathLike[str]) -> Program:
    """Read a program that :func:`save` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Raises
    ------
    Damaged
        The file is no ``.hwp`` file, is damaged, or has contents that make no program.
    HwquantError
        The file is absent, or of a newer version.
    """
    meta, arrays = container.read(path, KIND, VERSION)
    try:
        program = _decode(meta["program"], arrays)
        if program.config.external_bits and not np.array_equal(program.external_image, arrays["external"]):
            raise HwquantError("its external memory does not have its weights, parameters and program")
        # Decodes every word, so that a file made by hand fails here and not in the middle of a simulation.
        if program.checksum != meta["program"]["checksum"] or not program.instructions:
            raise HwquantError("its images do not have the checksum that it names")
        _check_counts(program)
    except KeyError as error:
        message = f"{path} holds no valid program: {error} is missing; compile it again"
        raise Damaged(message, path=str(path)) from error
    except (HwquantError, TypeError, ValueError, AttributeError, OverflowError) as error:
        message = f"{path} holds no valid program: {error}; compile it again"
        raise Damaged(message, path=str(path)) from error
    return program


def _decode(meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Program:
    config = ArrayConfig.from_json(meta["config"])
    for name, (dtype, dimensions) in {"weights": (config.slot_type, 2), **_IMAGES}.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != dimensions:
            raise HwquantError(f"its {name} are {arrays[name].dtype} {arrays[name].shape}")
    tables = arrays["tables"] if config.tables else np.zeros((0, 0), np.int64)
    if tables.dtype != np.int64 or tables.shape[1:] != (config.tables and 1 << config.table_bits,):
        raise HwquantError(f"its tables are {tables.dtype} {tables.shape}")
    inputs = tuple(_placement(item) for item in meta["inputs"])
    if config.raw_inputs and config.raw_inputs != tuple(RawInput.of(item) for item in inputs):
        raise HwquantError("its packer is not for its inputs")
    if not isinstance(meta["name"], str):
        raise HwquantError(f"its name is {meta['name']!r:.60}")
    layers = [_layer(item) for item in meta["layers"]]
    tensors = [_placement(item) for item in meta["tensors"]]
    return Program(
        name=meta["name"],
        config=config,
        words=_unpack(arrays["words"]),
        weights=arrays["weights"],
        bias=arrays["bias"],
        shift=arrays["shift"],
        multiplier=arrays["multiplier"],
        layers=tuple(layers),
        inputs=inputs,
        outputs=tuple(_placement(item) for item in meta["outputs"]),
        tensors={item.name: item for item in tensors},
        tables=tables,
        batch=_batch(meta.get("batch", 1)),
        parts={name: _checked(Part(**item)) for name, item in meta.get("parts", {}).items()},
        memory=_memory(meta, config),
    )


def _check_counts(program: Program) -> None:
    """Raise unless the instructions have as many layers, and words of frames, as the program says."""
    counts = {Opcode.TILE: 0, Opcode.INPUT: 0, Opcode.OUTPUT: 0}
    for item in program.instructions:
        if item.opcode in counts:
            counts[item.opcode] += item.values["layer" if item.opcode is Opcode.TILE else "count"]
    beats, words = program.frame_words
    said = {Opcode.TILE: ("layers", len(program.layers)), Opcode.OUTPUT: ("words of outputs", words)}
    if not program.config.raw_inputs:  # beats of those are compared with what the packer is for
        said[Opcode.INPUT] = ("words of inputs", beats)
    for opcode, (what, count) in said.items():
        if counts[opcode] != count:
            raise HwquantError(f"it names {count} {what}, and its instructions have {counts[opcode]}")


def _memory(meta: Mapping[str, Any], config: ArrayConfig) -> ExternalMemory | None:
    """What is known of external memory; files of version 7 may lack it, and were compiled for the default one."""
    if not config.external_bits:
        return None
    return (
        ExternalMemory.from_json(meta["memory"]) if "memory" in meta else ExternalMemory(config.external_bits)
    )


def _batch(value: object) -> int:
    if not isinstance(value, int) or not 1 <= value <= LARGEST:
        raise HwquantError(f"its batch is {value!r}")
    return value


def _written(place: Placement) -> dict[str, Any]:
    """A placement as plain data, without what it has only for several arrays, or several rows of a kernel in a word."""
    item = dataclasses.asdict(place)
    if not place.strip_rows:
        del item["strip_rows"]
    if place.packing and place.packing.rows == 1:
        item["packing"] = {name: item["packing"][name] for name in _ONE_ROW}
    return item


_ONE_ROW = ("shape", "kernel", "stride", "dilation", "left", "width")


def _layer(item: Mapping[str, Any]) -> LayerInfo:
    into = None
    if "into" in item:
        (y, x), (down, right), (rows, columns) = (
            item["into"]["grid"][key] for key in ("start", "step", "size")
        )
        into = Destination(item["into"]["tensor"], Grid((y, x), (down, right), (rows, columns)))
    covers = tuple(item["covers"])
    if not all(isinstance(name, str) for name in covers):
        raise HwquantError(f"its layer {item['name']!r:.60} covers {covers!r:.60}, which are no names")
    layer = _checked(LayerInfo(**{**item, "covers": covers, "into": into}))
    counts = {name: value for name, value in vars(layer).items() if type(value) is int}
    if min(counts.values()) < 0 or layer.useful_macs > layer.macs or layer.tiles_skipped > layer.tiles:
        raise HwquantError(f"its layer {layer.name!r:.60} has impossible counts: {counts}")
    return layer


def _placement(item: Mapping[str, Any]) -> Placement:
    packing = item["packing"]
    if packing is not None:
        packing = _checked(WindowPacking.from_json(packing))
    place = _checked(Placement(**{**item, "shape": tuple(item["shape"]), "packing": packing}))
    if (
        len(place.shape) != 3
        or place.lanes < 1
        or any(type(size) is not int or size < 1 for size in place.shape)
    ):
        raise HwquantError(
            f"its tensor {place.name!r} has the shape {place.shape}, {place.lanes} channels in a word"
        )
    return place


_KINDS = {"int": (int,), "str": (str,), "int | None": (int, type(None))}
"""What a field of a dataclass may be, by its annotation."""


def _checked(item: Item) -> Item:
    """Raise where a number or a text of a dataclass is something else."""
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        if type(value) not in _KINDS.get(str(field.type), (type(value),)):
            raise HwquantError(f"the {field.name} of its {type(item).__name__} is {value!r:.60}")
    return item


def _pack(words: Sequence[int]) -> NDArray[np.uint8]:
    """Words of any width to uint8 [words, bytes], least significant byte first."""
    width = max(1, -(-max(word.bit_length() for word in words) // 8))
    return np.array([list(word.to_bytes(width, "little")) for word in words], np.uint8)


def _unpack(image: NDArray[Any]) -> tuple[int, ...]:
    if image.dtype != np.uint8 or image.ndim != 2:
        raise HwquantError(f"its instructions are {image.dtype} {image.shape}")
    return tuple(int.from_bytes(row.tobytes(), "little") for row in image)
