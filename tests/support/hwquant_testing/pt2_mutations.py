"""Mutations of .pt2 files, from a seed: of bytes, of the archive, and of the JSON in it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Members = list[tuple[str, bytes]]

NUMBERS = (-1, 0, 1, 2, 3, 4, 7, 8, 12, 64, 1000, 1 << 31, 1 << 40, 1 << 63, 10**400, 0.5, -0.0, 1e308)
OTHERS = (
    None,
    True,
    False,
    "",
    "x",
    "Infinity",
    "NaN",
    [],
    {},
    [1],
    {"as_int": 1},
    {"as_none": True},
    "\ud800",
)
BORING = (
    "stack_trace",
    "torch_fn",
    "from_node",
    "guards_code",
    "range_constraints",
    "treespec_namedtuple_fields",
)
"""Keys below which few mutations go: nothing reads them."""


def mutated(data: bytes, seed: int) -> tuple[bytes, str]:
    """A file with one mutation or a few, and what was done: "bytes" or "structure"."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.3:
        return _bytes(data, rng), "bytes"
    members = unpacked(data)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if rng.random() < 0.2:
            members = _archive(members, rng)
        else:
            members = _documents(members, rng)
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED
    return packed(members, method), "structure"


def unpacked(data: bytes) -> Members:
    """The members of an archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def packed(members: Members, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive of members; names may occur twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.start_dir = archive.fp.tell()  # type: ignore[union-attr]
            archive.NameToInfo.pop(name, None)  # no warning for a duplicate, which is what is wanted
            archive.writestr(info, content)
    return buffer.getvalue()


def _bytes(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    # The directory at the end is small, and all that is read first is in it.
    low = max(0, len(data) - 1500) if rng.random() < 0.5 else 0
    place = int(rng.integers(low, len(data)))
    match int(rng.integers(5)):
        case 0:
            del changed[place:]
        case 1:
            del changed[place : place + int(rng.integers(1, 64))]
        case 2:
            changed[place:place] = rng.bytes(int(rng.integers(1, 64)))
        case _:
            for at in (place, *rng.integers(low, len(data), int(rng.integers(0, 4)))):
                changed[int(at)] = int(rng.choice([0, 1, 255, changed[int(at)] ^ 1 << int(rng.integers(8))]))
    return bytes(changed)


def _archive(members: Members, rng: np.random.Generator) -> Members:
    members = list(members)
    one, other = (int(rng.integers(len(members))) for _ in range(2))
    name, content = members[one]
    match int(rng.integers(7)):
        case 0:
            del members[one]
        case 1:
            members.append((name, members[other][1]))
        case 2:
            members[one] = (name + str(rng.choice(["x", "/", "\u00e9", "/.."])), content)
        case 3:
            members[one] = ("other/" + name.partition("/")[2], content)
        case 4:
            members[one] = (name, members[other][1])
        case 5:
            members[one] = (name, content[: int(rng.integers(len(content) + 1))])
        case 6:
            members[one] = (name, content + rng.bytes(int(rng.integers(1, 9))))
    return members or [(name, content)]


def _documents(members: Members, rng: np.random.Generator) -> Members:
    documents = [number for number, (name, _) in enumerate(members) if name.endswith(".json")]
    if not documents:
        return members
    weights = np.array([8.0 if "models/" in members[number][0] else 1.0 for number in documents])
    number = int(rng.choice(documents, p=weights / weights.sum()))
    name, content = members[number]
    try:
        document = json.loads(content)
    except ValueError:
        return members
    places = list(_places(document))
    if not places:
        return members
    holder, key = places[int(rng.integers(len(places)))]
    _change(holder, key, places, rng)
    members = list(members)
    members[number] = (name, json.dumps(document).encode())
    return members


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    items: Any = ()
    if isinstance(document, dict):
        items = [item for item in document.items() if item[0] not in BORING]
    elif isinstance(document, list):
        items = list(enumerate(document))
    for key, value in items:
        yield document, key
        yield from _places(value)


def _change(holder: Any, key: Any, places: list[tuple[Any, Any]], rng: np.random.Generator) -> None:
    value = holder[key]
    kind = int(rng.integers(8))
    if kind < 3:  # another value of the same key, or type
        alike: Callable[[Any, Any], bool] = (
            (lambda there, k: k == key) if kind == 0 else lambda there, k: type(there[k]) is type(value)
        )
        options = [there[k] for there, k in places if alike(there, k)]
        holder[key] = json.loads(json.dumps(options[int(rng.integers(len(options)))]))
    elif kind == 3 and isinstance(value, int) and not isinstance(value, bool):
        holder[key] = value + int(rng.choice([-1, 1]))
    elif kind == 4:
        options = [*NUMBERS, *OTHERS]
        holder[key] = options[int(rng.integers(len(options)))]
    elif kind == 5:
        del holder[key]
    elif kind == 6 and isinstance(value, list) and value:
        rng.shuffle(value)
        value.append(value[int(rng.integers(len(value)))])
    elif isinstance(value, list) and value:
        del value[int(rng.integers(len(value)))]
    elif isinstance(value, dict) and value:
        first = next(iter(value))
        value[f"{first}x"] = value.pop(first)
    elif isinstance(value, str):
        holder[key] = value[: int(rng.integers(len(value) + 1))] + str(rng.choice(["", "_1", "_"]))
