"""Files that earlier versions wrote open, and mean what they meant; what a newer one wrote is refused."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hwquant
from hwquant import build, container, hwq
from hwquant.errors import Damaged, HwquantError
from hwquant.files import sealed
from hwquant.journal import line
from hwquant.program import storage
from hwquant.search import journal
from hwquant.search.evaluate import Outcome
from hwquant.search.journal import Journal
from hwquant.training import Checkpoint, checkpoint

DATA = Path(__file__).parent / "data"
OWNER = {"network": "a", "training data": "b"}
"""What the stored checkpoint and journal belong to."""


VERSIONS = sorted(path.name for path in DATA.iterdir() if re.fullmatch(r"\d+\.\d+\.\d+", path.name))
NOW = "now"
"""What the script that made the others makes today."""


@pytest.fixture(params=[*VERSIONS, pytest.param(NOW, marks=pytest.mark.nightly)])
def stored(request, tmp_path):
    """A copy of the files that one version wrote, its build unpacked."""
    folder = tmp_path / request.param
    if request.param == NOW:
        subprocess.run([sys.executable, DATA / "make.py", folder], check=True)
    else:
        shutil.copytree(DATA / request.param, folder)
    shutil.unpack_archive(folder / "build.zip", folder / "build")
    return folder


def test_there_are_files_of_an_earlier_version():
    assert VERSIONS


@pytest.fixture
def expected(stored):
    """What the version that wrote them computed with them."""
    with np.load(stored / "expected.npz") as arrays:
        return {**json.loads((stored / "expected.json").read_text()), **arrays}


def test_a_network_predicts_what_it_did(stored, expected):
    qgraph = hwquant.load_network(stored / "net.hwq")
    assert qgraph.nodes[0].multiplier.size == 4
    assert qgraph.nodes[0].terms[0].mask.all()
    (got,) = hwquant.predict(qgraph, expected["x"])
    np.testing.assert_allclose(got, expected["multiplier"], rtol=1e-9)


def test_a_network_is_written_as_it_was(stored, tmp_path):
    hwquant.save_network(hwquant.load_network(stored / "net.hwq"), tmp_path / "again.hwq")
    assert (tmp_path / "again.hwq").read_bytes() == (stored / "net.hwq").read_bytes()


def test_odd_weights_predict_what_they_did(stored, expected):
    """Of the versions that have them."""
    if not (stored / "odd.hwq").exists():
        assert stored.name == "0.1.0"
        return
    qgraph, program = hwquant.load_network(stored / "odd.hwq"), storage.load(stored / "odd.hwp")
    (got,) = hwquant.predict(qgraph, expected["x"])
    np.testing.assert_allclose(got, expected["odd"], rtol=1e-9)
    x = hwquant.quantize_input(qgraph, expected["x"][:1])
    result = hwquant.verify(program, qgraph, x, watch=1, simulator="amaranth")
    assert result.mismatches == 0, result.first


def test_a_build_predicts_and_takes_the_cycles_that_it_did(stored, expected):
    found = hwquant.load_build(stored / "build")
    assert found.program.checksum == expected["checksum"]
    assert found.report.cycles == expected["cycles"]
    (got,) = hwquant.predict(found.qgraph, expected["x"])
    np.testing.assert_allclose(got, expected["shift"], rtol=1e-9)


def test_a_program_runs_on_the_hardware_of_today(stored, expected):
    found = hwquant.load_build(stored / "build")
    x = hwquant.quantize_input(found.qgraph, expected["x"][:1])
    result = hwquant.verify(found.program, found.qgraph, x, watch=1, simulator="amaranth")
    assert result.mismatches == 0, result.first
    assert result.cycles == expected["cycles"]


def test_a_training_goes_on_from_a_checkpoint(stored, expected):
    saved = Checkpoint(stored / "training.checkpoint", OWNER, resume=True)
    fit = saved.part("fit", checkpoint.FIT, needed=True)
    assert (fit["stage"], fit["results"]) == ("8 bits", [{"epoch": 1, "loss": 0.25, "score": None}])
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01)
    saved.restore(layer, fit["network"])
    saved.restore_optimizer(optimizer, fit["optimizer"])
    assert {name: value.tolist() for name, value in layer.state_dict().items()} == expected["weights"]
    assert optimizer.state_dict()["state"][0]["exp_avg"].flatten().tolist() == pytest.approx([0.1] * 6)


def test_a_search_goes_on_from_a_journal(stored):
    with Journal(stored / "net.hwq.journal", OWNER, 2, resume=True) as opened:
        assert opened.outcomes == {
            (8, 4): Outcome({"accuracy": 0.1 + 0.2, "cycles": 1934}, 1e-7 / 3, "c0ffee"),
            (2, 4): Outcome(error="it does not fit"),
        }


@pytest.mark.parametrize(
    ("name", "kind", "newest", "read"),
    [
        ("net.hwq", hwq.KIND, hwq.VERSION, hwq.load),
        ("build/program.hwp", storage.KIND, storage.VERSION, storage.load),
        (
            "training.checkpoint",
            checkpoint.KIND,
            checkpoint.VERSION,
            lambda path: Checkpoint(path, OWNER, resume=True),
        ),
    ],
)
def test_a_newer_file_is_refused_and_says_what_to_do(stored, name, kind, newest, read):
    members, arrays = container.read(stored / name, kind, newest)
    container.write(stored / name, kind, newest + 1, members, arrays)
    message = rf"{name} has format version {newest + 1}, this hwquant reads up to {newest}; update hwquant"
    with pytest.raises(HwquantError, match=message) as caught:
        read(stored / name)
    assert not isinstance(caught.value, Damaged)


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_there_never_was_is_damage(stored, version):
    members, arrays = container.read(stored / "net.hwq", hwq.KIND, hwq.VERSION)
    container.write(stored / "net.hwq", hwq.KIND, version, members, arrays)
    with pytest.raises(Damaged, match=r"net.hwq is not a valid hwquant file \(its version is no positive"):
        hwquant.load_network(stored / "net.hwq")


def test_a_journal_of_another_version_is_refused(stored):
    """Only to be gone on with by the hwquant that began it, it is not read by others."""
    path = stored / "net.hwq.journal"
    first, *others = path.read_bytes().splitlines()
    header = json.loads(first) | {"version": journal.VERSION + 1}
    del header["check"]
    path.write_bytes(line(header) + b"\n".join(others))
    with pytest.raises(Damaged, match=r"is no journal of a search of this hwquant; remove the file"):
        Journal(path, OWNER, 2, resume=True)


def with_version(folder, version):
    """A build folder whose manifest says that it is of another version."""
    manifest = json.loads((folder / build.MANIFEST).read_bytes())
    content = {"format": manifest["format"], "version": version, "sha256": manifest["sha256"]}
    (folder / build.MANIFEST).write_bytes(sealed(content))


def test_a_newer_build_is_refused_and_says_what_to_do(stored):
    with_version(stored / "build", build.VERSION + 1)
    with pytest.raises(
        HwquantError,
        match=f"build has format version {build.VERSION + 1}, .* reads up to {build.VERSION}; update hwquant",
    ):
        hwquant.load_build(stored / "build")


def test_a_build_of_a_version_that_there_never_was_is_damage(stored):
    with_version(stored / "build", 0)
    with pytest.raises(Damaged, match=r"manifest.json is damaged, or of no build"):
        hwquant.load_build(stored / "build")
