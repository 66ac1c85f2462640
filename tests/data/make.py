"""Files of every format, as the hwquant that runs this writes them: ``python make.py FOLDER``.

Run once for a version of a format, and kept: ``tests/test_stored_files.py`` opens them with every later hwquant.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

import hwquant
from hwquant.program import storage
from hwquant.qgraph import QGraph
from hwquant.quantize import QuantizeOptions
from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.training import Checkpoint

OWNER = {"network": "a", "training data": "b"}
OUTCOMES = {
    (8, 4): Outcome({"accuracy": 0.1 + 0.2, "cycles": 1934}, 1e-7 / 3, "c0ffee"),
    (2, 4): Outcome(error="it does not fit"),
}


class Network(nn.Module):
    """One of every kind of node, and an end on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.filters = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
        self.branch = nn.Conv2d(4, 4, 1)
        self.last = nn.Linear(8 * 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.relu(self.first((x - 0.5) * 2))
        pooled = nn.functional.max_pool2d(first, 2)
        filtered = torch.relu(self.filters(first))
        total = self.branch(filtered) + pooled
        joined = torch.cat([nn.functional.avg_pool2d(total, 2), nn.functional.max_pool2d(filtered, 2)], 1)
        return torch.softmax(self.last(joined.flatten(1)), 1)


def masked(qgraph: QGraph) -> QGraph:
    """The first layer with a mask of its weights."""
    first = qgraph.nodes[0]
    (term,) = first.terms
    term = dataclasses.replace(term, mask=np.ones(term.codes.shape, np.bool_))
    return dataclasses.replace(qgraph, nodes=(dataclasses.replace(first, terms=(term,)), *qgraph.nodes[1:]))


def odd(qgraph: QGraph) -> QGraph:
    """The first layer with odd weights."""
    first = qgraph.nodes[0]
    (term,) = first.terms
    term = dataclasses.replace(term, step=2, offset=2 * term.offset + 1)
    return dataclasses.replace(qgraph, nodes=(dataclasses.replace(first, terms=(term,)), *qgraph.nodes[1:]))


def main(folder: Path) -> None:
    folder.mkdir()
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((16, 3, 8, 8), np.float32)
    graph = hwquant.from_torch(Network().eval(), torch.from_numpy(x[:2]))
    options = {
        "shift": QuantizeOptions(bits={"filters": 4, "branch": 2}),
        "multiplier": QuantizeOptions(per_channel=True, anchor="max", scales="multiplier"),
    }
    networks = {name: hwquant.quantize_network(graph, x, chosen) for name, chosen in options.items()}
    networks["multiplier"] = masked(networks["multiplier"])
    networks["odd"] = odd(networks["shift"])
    results = {name: hwquant.predict(qgraph, x[:4])[0] for name, qgraph in networks.items()}
    np.savez_compressed(folder / "expected.npz", x=x[:4], **results)
    hwquant.save_network(networks["multiplier"], folder / "net.hwq")

    hwquant.save_network(networks["odd"], folder / "odd.hwq")
    storage.save(hwquant.compile_network(networks["odd"], (2, 2)), folder / "odd.hwp")

    program = hwquant.compile_network(networks["shift"], (2, 2))
    with tempfile.TemporaryDirectory() as place:
        build = hwquant.write_build(networks["shift"], program, Path(place) / "build")
        shutil.make_archive(str(folder / "build"), "zip", build.folder)

    checkpoint = Checkpoint(folder / "training.checkpoint", OWNER)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint.save(
        fit={
            "stage": "8 bits",
            "results": [{"epoch": 1, "loss": 0.25, "score": None}],
            "network": layer.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
    )
    with Journal(folder / "net.hwq.journal", OWNER, 2, resume=False) as journal:
        for configuration, outcome in OUTCOMES.items():
            journal.add(configuration, outcome)

    state = {name: value.tolist() for name, value in layer.state_dict().items()}
    expected = {"cycles": build.report.cycles, "checksum": program.checksum, "weights": state}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
