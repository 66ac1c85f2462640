"""Files of ``torch.export.save``, read without torch and without executing anything in them.

``torch.export.load`` unpickles a file's example inputs, and whatever weights the file says are pickled, with
``weights_only=False`` as its fallback; it evaluates the file's symbolic expressions as Python; and it loads
native code that a file may carry. None of that is needed: the graph is JSON, and weights are raw bytes.

Versions: torch 2.9 to 2.13 write what is read here (schema 8.14 to 8.20 in one archive). torch 2.8 writes the
same archive with pickled weights, torch 2.6 and 2.7 an older one, pickled too; both are refused unopened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwquant.errors import HwquantError, Unsupported
from hwquant.frontends.aten_program import EFFECTS, AtenInput, AtenNode, AtenProgram, Reference
from hwquant.frontends.aten_types import NAMES
from hwquant.frontends.aten_views import LARGEST_CONSTANT
from hwquant.frontends.pt2_archive import UNREADABLE, Archive
from hwquant.frontends.torch_export import HOOK
from hwquant.frontends.values import Array

SCHEMA = 8
"""Major version of the format's schema; what changes within it are additions."""

OPERATORS = 10
"""Version of the ATen operators that torch 2.6 to 2.13 write."""

_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
"""The name of each ScalarType of the schema."""

_LAYOUTS = {
    1: "sparse COO",
    2: "sparse CSR",
    3: "sparse CSC",
    4: "sparse BSR",
    5: "sparse BSC",
    6: "mkldnn",
    7: "strided",
}
"""The name of each layout of the schema; "strided" is an ordinary, dense tensor."""

MODEL, WEIGHTS, CONSTANTS = "models/model.json", "data/weights", "data/constants"
_OLD = "is of the format before torch 2.9, whose weights are pickled"


def read_pt2(path: str | Path) -> AtenProgram:
    """Read the program in a .pt2 file.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    AtenProgram
        The program.

    Raises
    ------
    HwquantError
        If the file is damaged, of another kind, needs unpickling, or is from a torch before 2.9.
    """
    reader = _Reader(Archive(path))
    try:
        return reader.program(Path(path).stem)
    except UNREADABLE as error:
        raise reader.archive.damaged(
            f"does not have the form that torch.export.save writes ({type(error).__name__}: {error}){reader.written}; "
            "write it again"
        ) from None


class _Reader:
    """A reader of one file.

    Attributes
    ----------
    written : str
        Which torch wrote the file, for messages; "" as long as that is unknown.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive, self.written = archive, ""
        self._storages: dict[str, tuple[str, Array]] = {}
        self._repeated = 0

    def program(self, name: str) -> AtenProgram:
        """Read the program, which is called ``name``."""
        document = self._document()
        module = document["graph_module"]
        graph, signature = module["graph"], module["signature"]
        labels, constants, types = self._constants(signature["input_specs"])
        outputs = tuple(self._outputs(signature["output_specs"]))
        _agree(graph["inputs"], signature["input_specs"], "inputs")
        _agree(graph["outputs"], signature["output_specs"], "outputs")
        inputs = [
            _input(spec["user_input"]["arg"], graph["tensor_values"])
            for spec in signature["input_specs"]
            if "user_input" in spec
        ]
        nodes = tuple(_node(node) for node in graph["nodes"])
        return AtenProgram(name, tuple(inputs), constants, nodes, outputs, labels, types)

    def _document(self) -> Any:
        """The model's JSON, its versions checked."""
        if MODEL not in self.archive:
            if "serialized_exported_program.json" in self.archive:
                raise self.pickled(_OLD)
            raise self.archive.damaged("holds no exported program; write one with torch.export.save")
        document = self.archive.json(MODEL)
        version, operators = document["schema_version"]["major"], document["opset_version"]
        self.written = f"; it says that torch {str(document.get('torch_version'))[:40]} wrote it"
        if version != SCHEMA:
            raise Unsupported(
                f"{self.archive.where} has schema version {version}, the supported one is {SCHEMA}{self.written}; "
                "write it with torch 2.9 to 2.13"
            )
        if operators != {"aten": OPERATORS}:
            raise Unsupported(
                f"{self.archive.where} has operators of the versions {operators}, the supported one is "
                f"{OPERATORS} of aten{self.written}; write it with torch 2.9 to 2.13"
            )
        if self.archive.read("byteorder").strip() != b"little":
            raise Unsupported(
                f"{self.archive.where} is not in little-endian byte order; write it on another machine"
            )
        return document

    def pickled(self, what: str) -> HwquantError:
        """The error for a file that would have to be unpickled."""
        return Unsupported(
            f"{self.archive.where} {what}; hwquant never unpickles files, so load it with torch.export.load where "
            "you trust it, and write it with torch.export.save of torch 2.9 to 2.13",
            where=self.archive.where,
        )

    def _outputs(self, specs: list[Any]) -> list[str]:
        names = []
        for spec in specs:
            (kind,) = spec
            if kind in EFFECTS:
                raise Unsupported(f"{self.archive.where} cannot be imported: {EFFECTS[kind]}")
            if kind == "user_output":
                argument = spec[kind]["arg"]
                if "as_tensor" not in argument:
                    raise Unsupported(
                        f"an output of {self.archive.where} is no tensor ({', '.join(argument)}); return tensors"
                    )
                names.append(_name(argument["as_tensor"]))
            elif kind != "user_input_mutation":  # into the caller's array, which is no output
                raise ValueError(f"an output of the unknown kind {kind!r}")
        return names

    def _constants(self, specs: list[Any]) -> tuple[dict[str, str], dict[str, Array], dict[str, str]]:
        """Names in the module, arrays and types of all weights, by their names in the program."""
        sources = {}
        for spec in specs:
            ((kind, content),) = spec.items()
            if kind == "custom_obj":
                raise self.pickled("has a custom object among its inputs")
            if kind in ("parameter", "buffer", "tensor_constant"):
                lasting = kind == "parameter" or (kind == "buffer" and content["persistent"])
                name = _name(content["arg"])
                sources[name] = content[f"{kind}_name"], WEIGHTS if lasting else CONSTANTS
            elif kind != "user_input":
                raise Unsupported(
                    f"{self.archive.where} has an input of the kind {kind!r}; only tensors can be"
                )
        configs = {
            WEIGHTS: self._config(WEIGHTS, "model_weights_config.json"),
            CONSTANTS: self._config(CONSTANTS, "model_constants_config.json"),
        }
        arrays, types = {}, {}
        for name, (label, folder) in sources.items():
            payload = configs[folder][label]
            if payload["use_pickle"]:
                raise self.pickled(f"has the pickled tensor {label!r}")
            member, meta = f"{folder}/{payload['path_name']}", payload["tensor_meta"]
            dtype, layout = _TYPES.get(meta["dtype"]), _LAYOUTS.get(meta["layout"])
            if dtype not in NAMES or layout != "strided":
                raise Unsupported(
                    f"tensor {label!r} of {self.archive.where} has type {dtype or meta['dtype']} and layout "
                    f"{layout or meta['layout']}; only dense tensors of real numbers are supported"
                )
            arrays[name] = self._tensor(self._storage(member, str(dtype)), meta, label)
            if dtype == "bfloat16":
                types[name] = dtype
        return {name: label for name, (label, _) in sources.items()}, arrays, types

    def _config(self, folder: str, name: str) -> Any:
        if f"{folder}/model.pt" in self.archive:
            raise self.pickled(_OLD)
        return self.archive.json(f"{folder}/{name}")["config"]

    def _storage(self, member: str, dtype: str) -> Array:
        """The elements of a member; tensors that share one have one type."""
        if member not in self._storages:
            self._storages[member] = dtype, _decoded(self.archive.read(member), dtype)
        known, storage = self._storages[member]
        if known != dtype:
            raise ValueError(f"{member!r} is read as {known} and as {dtype}")
        return storage

    def _tensor(self, storage: Array, meta: Mapping[str, Any], label: str) -> Array:
        """A strided view of raw bytes."""
        sizes, strides = ([_integer(size) for size in meta[key]] for key in ("sizes", "strides"))
        start = _integer(meta["storage_offset"])
        if min([start, *sizes, *strides]) < 0 or len(sizes) != len(strides) or len(sizes) > 8:
            raise ValueError(f"tensor {label!r} has a negative size or stride, or too many of them")
        if 0 in sizes:
            return np.zeros(sizes, storage.dtype)
        last = start + sum((size - 1) * stride for size, stride in zip(sizes, strides))
        # A stride of 0 repeats elements, as an expanded parameter does: a few bytes could become any size.
        self._repeated += max(math.prod(sizes) - storage.size, 0)
        if last >= storage.size or self._repeated > LARGEST_CONSTANT:
            raise ValueError(f"tensor {label!r} is larger than its storage")
        bytes_each = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[start:], sizes, bytes_each, writeable=False)


def _agree(listed: list[Any], specs: list[Any], what: str) -> None:
    """The graph's own list and the signature's must be one: torch reads both."""
    arguments = [_only(spec)["arg"] for spec in specs]
    names = [_name(item if "name" in item else _only(item)) for item in arguments]
    if names != [_name(_only(item)) for item in listed]:
        raise ValueError(f"the graph's {what} are not those of its signature")


def _decoded(raw: bytes, dtype: str) -> Array:
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    if dtype == "bool":
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))


def _integer(size: Any) -> int:
    found = size["as_int"]
    if type(found) is not int:
        raise TypeError(f"{found!r} is no size")
    return found


def _only(union: Any) -> Any:
    """The value of a union, which has one field."""
    ((_, value),) = union.items()
    return value


def _input(argument: Mapping[str, Any], tensors: Mapping[str, Any]) -> AtenInput:
    if "as_tensor" not in argument:
        raise Unsupported(
            f"an input of the program is no tensor but {', '.join(argument)}; only tensors can be"
        )
    name = _name(argument["as_tensor"])
    meta = tensors[name]
    shape = tuple(_integer(size) if "as_int" in size else None for size in meta["sizes"])
    return AtenInput(name, shape, _TYPES.get(meta["dtype"], f"of type {meta['dtype']}"))


def _name(argument: Mapping[str, Any], key: str = "name") -> str:
    name = argument[key]
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name")
    return name


def _node(node: Mapping[str, Any]) -> AtenNode:
    outputs: list[str | None] = []
    for output in node["outputs"]:
        ((kind, value),) = output.items()
        if kind == "as_tensor":
            outputs.append(_name(value))
        elif kind == "as_tensors":
            outputs.extend(_name(item) for item in value)
        else:
            outputs.append(
                _name(value, "as_name") if kind.startswith("as_sym") and "as_name" in value else None
            )
    operator, overload = node["target"].removeprefix("torch.ops.").removeprefix("aten."), ""
    given = [(_name(item), item) for item in node["inputs"]]
    if node["target"].startswith("torch.ops."):
        operator, _, overload = operator.rpartition(".")
    else:  # Python's own operators go by position
        given = [(name, item) for name, (_, item) in zip("ab", given, strict=False)]
    arguments = {name: _argument(item["arg"]) for name, item in given}
    positional = tuple(name for name, item in given if item.get("kind") == _POSITIONAL)
    path, part = "", ""
    for entry in filter(None, node["metadata"].get("nn_module_stack", "").split(";")):
        _, path, part = entry.split(",", 2)
        if path == HOOK:
            path, part = "", ""
    name = _name(node) if node.get("name") else next((output for output in outputs if output), operator)
    return AtenNode(name, operator, arguments, tuple(outputs), overload, path, part, positional)


_POSITIONAL = 1
"""Kind of an argument that is passed by its position."""


def _argument(argument: Mapping[str, Any]) -> Any:
    """One argument of the schema's union type."""
    ((kind, value),) = argument.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return Reference(_name(value))
        case "as_tensors":
            return [Reference(_name(item)) for item in value]
        case "as_optional_tensor" | "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return _argument(value)
        case "as_optional_tensors" | "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            return [_argument(item) for item in value]
        case "as_name":
            return Reference(_name(argument, kind))
        case "as_float":
            return float(value)  # infinities are strings
        case "as_floats":
            return [float(item) for item in value]
        case "as_scalar_type":
            return _TYPES.get(value, f"scalar type {value}")
        case "as_layout":
            return _LAYOUTS.get(value, f"layout {value}")
        case "as_int" | "as_ints" | "as_bool" | "as_bools" | "as_string" | "as_strings":
            return value
    return str(value)  # devices and memory formats; what else there is no operator here takes
