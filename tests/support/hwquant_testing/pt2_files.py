"""Files of torch.export.save, written again with something changed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

Change = Callable[[str, Any], None]
"""Changes the JSON of a member, given its name."""


def rewritten(
    path: Path, change: Change, drop: Collection[str] = (), add: Mapping[str, bytes] | None = None
) -> None:
    """The archive again, with its JSON members changed by ``change(name, document)``."""
    source = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w") as target:
        for info in source.infolist():
            name, content = info.filename.partition("/")[2], source.read(info)
            if name in drop:
                continue
            if name.endswith(".json"):
                document = json.loads(content)
                change(name, document)
                content = json.dumps(document).encode()
            target.writestr(info.filename, content)
        for name, content in (add or {}).items():
            target.writestr(f"net/{name}", content)


def model_change(**changes: Any) -> Change:
    """Change members of the model's JSON."""

    def change(name: str, document: Any) -> None:
        if name == "models/model.json":
            document.update(changes)

    return change


def weight_change(**changes: Any) -> Change:
    """Change what is said of the tensor ``0.weight``."""

    def change(name: str, document: Any) -> None:
        if name.endswith("weights_config.json"):
            document["config"]["0.weight"]["tensor_meta"].update(changes)

    return change
