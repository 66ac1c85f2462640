"""Files of ``torch.export.save``, read without torch and without executing anything in them.

``torch.export.load`` unpickles a file's example inputs, and whatever weights the file says are pickled, with
``weights_only=False`` as its fallback; it evaluates the file's symbolic expressions as Python; and it loads
native code that a file may carry. None of that is needed: the graph is JSON, and weights are raw bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwquant.errors import HwquantError
from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference
from hwquant.frontends.torch_export import HOOK
from hwquant.frontends.values import Array

SCHEMA = 8
"""Major version of the format's schema; what changes within it are additions."""

_TYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
"""ScalarType of the schema to the type's name."""

_STRIDED = 7
"""Layout of the schema: an ordinary, dense tensor."""


def read_pt2(path: str | Path) -> AtenProgram:
    """The program in a .pt2 file.

    Raises
    ------
    HwquantError
        if the file is damaged, of another kind, needs unpickling, or is from a torch before 2.9
    """
    where = repr(str(path))
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise HwquantError(f"cannot read {where}: {error.strerror or error}") from None
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise HwquantError(
            f"{where} is not a .pt2 file, or is truncated; write it with torch.export.save"
        ) from None
    with archive:
        try:
            return _Reader(archive, where).program(Path(path).stem)
        except zipfile.BadZipFile as error:
            raise HwquantError(f"{where} is damaged: {error}; copy or write it again") from None
        except (
            KeyError,
            IndexError,
            TypeError,
            ValueError,
            AttributeError,
            RuntimeError,  # an encrypted member
        ) as error:
            raise HwquantError(
                f"{where} does not have the form that torch.export.save writes "
                f"({type(error).__name__}: {error}); write it again with torch 2.9 or newer"
            ) from None


class _Reader:
    """One archive. Its members lie under one folder, whose name does not matter."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        self.archive, self.where = archive, where
        self.members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise HwquantError(
                    f"{where} is compressed, which torch.export.save does not do; write it again"
                )
            self.members[info.filename.partition("/")[2]] = info
            self.members.setdefault(info.filename, info)

    def program(self, name: str) -> AtenProgram:
        if "models/model.json" not in self.members:
            if "serialized_exported_program.json" in self.members:
                raise self.pickled("is of the format before torch 2.9, whose weights are pickled")
            raise HwquantError(f"{self.where} holds no exported program; write one with torch.export.save")
        document = self.json("models/model.json")
        major = document["schema_version"]["major"]
        if major != SCHEMA:
            raise HwquantError(
                f"{self.where} has schema version {major}, the supported one is {SCHEMA}; "
                f"it is written by torch {document.get('torch_version')}"
            )
        if self.read("byteorder").strip() != b"little":
            raise HwquantError(
                f"{self.where} is not in little-endian byte order; write it on another machine"
            )
        module = document["graph_module"]
        graph, signature = module["graph"], module["signature"]
        labels, tensors = self._constants(signature["input_specs"])
        inputs = [
            _input(spec["user_input"]["arg"], graph["tensor_values"])
            for spec in signature["input_specs"]
            if "user_input" in spec
        ]
        outputs = [
            _name(spec["user_output"]["arg"]["as_tensor"])
            for spec in signature["output_specs"]
            if "user_output" in spec
        ]
        nodes = tuple(_node(node) for node in graph["nodes"])
        return AtenProgram(name, tuple(inputs), tensors, nodes, tuple(outputs), labels)

    def read(self, member: str) -> bytes:
        """A member's bytes, their CRC checked."""
        return self.archive.read(self.members[member])

    def json(self, member: str) -> Any:
        return json.loads(self.read(member))

    def pickled(self, what: str) -> HwquantError:
        return HwquantError(
            f"{self.where} {what}; hwquant never unpickles files, "
            "so load it where you trust it and write it with torch.export.save of torch 2.9 or newer"
        )

    def _constants(self, specs: list[Any]) -> tuple[dict[str, str], dict[str, Array]]:
        """Names in the module and arrays of all weights, by their names in the program."""
        labels = {}
        for spec in specs:
            for kind, field in (
                ("parameter", "parameter_name"),
                ("buffer", "buffer_name"),
                ("tensor_constant", "tensor_constant_name"),
            ):
                if kind in spec:
                    labels[spec[kind]["arg"]["name"]] = spec[kind][field]
            if "custom_obj" in spec:
                raise self.pickled("has a custom object among its inputs")
        found: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
            if f"data/{folder}/model.pt" in self.members:
                raise self.pickled("is of the format before torch 2.9, whose weights are pickled")
            for label, payload in self.json(f"data/{folder}/{config}.json")["config"].items():
                found[label] = folder, payload
        arrays = {}
        for name, label in labels.items():
            folder, payload = found[label]
            if payload["use_pickle"]:
                raise self.pickled(f"has the pickled tensor {label!r}")
            arrays[name] = self._tensor(
                f"data/{folder}/{payload['path_name']}", payload["tensor_meta"], label
            )
        return labels, arrays

    def _tensor(self, member: str, meta: Mapping[str, Any], label: str) -> Array:
        """A strided tensor from raw bytes, copied."""
        dtype, layout = _TYPES.get(meta["dtype"]), meta["layout"]
        if dtype is None or layout != _STRIDED:
            raise HwquantError(
                f"tensor {label!r} of {self.where} has type {meta['dtype']} and layout {layout} of the "
                "schema; only dense real tensors are supported"
            )
        storage = _decoded(self.read(member), dtype)
        sizes, strides = ([size["as_int"] for size in meta[key]] for key in ("sizes", "strides"))
        start = meta["storage_offset"]["as_int"]
        if min([start, *sizes, *strides]) < 0 or len(sizes) != len(strides):
            raise ValueError(f"tensor {label!r} has a negative size or stride")
        if 0 in sizes:
            return np.zeros(sizes, storage.dtype)
        # The count of elements bounds the copy below: a stride of 0 could ask for any size.
        last = start + sum((size - 1) * stride for size, stride in zip(sizes, strides))
        if last >= storage.size or int(np.prod(sizes, dtype=object)) > storage.size:
            raise ValueError(f"tensor {label!r} is larger than its storage")
        bytes_each = [stride * storage.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(storage[start:], sizes, bytes_each).copy()


def _decoded(raw: bytes, dtype: str) -> Array:
    if dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<"))


def _input(argument: Mapping[str, Any], tensors: Mapping[str, Any]) -> AtenInput:
    if "as_tensor" not in argument:
        raise HwquantError(f"an input of the program is no tensor but {', '.join(argument)}")
    name = _name(argument["as_tensor"])
    meta = tensors[name]
    shape = tuple(size.get("as_int") for size in meta["sizes"])
    if not all(size is None or isinstance(size, int) for size in shape):
        raise TypeError(f"input {name!r} has the shape {shape}")
    return AtenInput(name, shape, _TYPES[meta["dtype"]])


def _name(argument: Mapping[str, Any], key: str = "name") -> str:
    name = argument[key]
    if not isinstance(name, str):
        raise TypeError(f"{name!r} is no name")
    return name


def _node(node: Mapping[str, Any]) -> AtenNode:
    outputs: list[str | None] = []
    for output in node["outputs"]:
        kind, value = next(iter(output.items()))
        if kind == "as_tensor":
            outputs.append(_name(value))
        elif kind == "as_tensors":
            outputs.extend(_name(item) for item in value)
        else:
            outputs.append(_name(value, "as_name") if kind == "as_sym_int" and "as_name" in value else None)
    operator, overload = node["target"].removeprefix("torch.ops.").removeprefix("aten."), ""
    if node["target"].startswith("torch.ops."):
        operator, _, overload = operator.rpartition(".")
    path, part = "", ""
    for entry in filter(None, node["metadata"].get("nn_module_stack", "").split(";")):
        _, path, part = entry.split(",", 2)
        if path == HOOK:
            path, part = "", ""
    arguments = {_name(item): _argument(item["arg"]) for item in node["inputs"]}
    name = _name(node) if node.get("name") else next((output for output in outputs if output), operator)
    return AtenNode(name, operator, arguments, tuple(outputs), overload, path, part)


def _argument(argument: Mapping[str, Any]) -> Any:
    """One argument of the schema's union type."""
    (kind, value), *_ = argument.items()
    match kind:
        case "as_none":
            return None
        case "as_tensor":
            return Reference(_name(value))
        case "as_tensors":
            return [Reference(_name(item)) for item in value]
        case "as_optional_tensor":
            return _argument(value)
        case "as_optional_tensors" | "as_sym_ints" | "as_sym_floats":
            return [_argument(item) for item in value]
        case "as_sym_int" | "as_sym_float":
            return _argument(value)
        case "as_name":
            return Reference(_name(argument, kind))
        case "as_float":
            return float(value)  # infinities are strings
        case "as_floats":
            return [float(item) for item in value]
        case "as_scalar_type":
            return _TYPES.get(value, f"scalar type {value}")
        case "as_int" | "as_ints" | "as_bool" | "as_bools" | "as_string" | "as_strings":
            return value
    return str(value)  # devices, layouts and memory formats do not matter here
