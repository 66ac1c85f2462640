"""The backend tests of the onnx package through the float network: each is right or refused."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnx.backend.test
import pytest
from hwquant_testing.limits import limited
from hwquant_testing.onnx_oracle import disagreement, real
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends.onnx_reader import read_onnx

DATA = Path(onnx.backend.test.__file__).parent / "data"
EVERY = int(os.environ.get("HWQUANT_BACKEND_EVERY", "1"))
"""One of so many is run."""


def tensors(folder, kind):
    """The arrays of a test's files, in order; None where one is no tensor."""
    paths = sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"), key=lambda path: int(path.stem.split("_")[1]))
    return [numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())) for path in paths]


def model_cases():
    """Name, model, inputs and outputs of the tests that are files."""
    for kind in ("pytorch-converted", "pytorch-operator", "simple"):
        for folder in sorted((DATA / kind).iterdir()):
            try:
                data = tensors(folder, "input"), tensors(folder, "output")
            except Exception:  # sequences, which are no tensors
                data = None, None
            yield f"{kind}/{folder.name}", onnx.load(folder / "model.onnx"), *data


def node_cases():
    """The same of the tests of single operators, which are made by code."""
    for case in collect_testcases(None):
        inputs, outputs = case.data_sets[0] if case.data_sets else (None, None)
        yield f"node/{case.name}", case.model, inputs, outputs


def outcome(model, inputs, outputs):
    """Refused, right, or in which way it is wrong; without data of its own a test is compared with the oracles."""
    with limited():
        try:
            graph = read_onnx(model)
        except HwquantError:
            return "refused"
    arrays = (inputs, outputs)
    if not all(part is not None and all(isinstance(item, np.ndarray) for item in part) for part in arrays):
        found = disagreement(model, graph, 0)
        return f"wrong: {found}" if found else "right"
    weights = {item.name for item in model.graph.initializer}
    given = dict(zip((item.name for item in model.graph.input if item.name not in weights), inputs))
    got = predict(graph, real({item.name: given[item.name] for item in graph.inputs}))
    for ours, theirs in zip(got, outputs, strict=True):
        if ours.shape != theirs.shape:
            return f"wrong: shape {ours.shape}, not {theirs.shape}"
        rounding = 2**-8 if theirs.dtype.kind == "V" else 1e-3  # of bfloat16
        if not np.allclose(
            ours.astype(float), theirs.astype(float), rtol=rounding, atol=1e-5, equal_nan=True
        ):
            return f"wrong: off by {np.abs(ours.astype(float) - theirs).max()}"
    return "right"


@pytest.mark.filterwarnings("ignore")  # of the code that makes the tests of single operators
def test_every_backend_test_is_right_or_refused():
    counts, wrong = Counter(), []
    for number, (name, model, inputs, outputs) in enumerate((*model_cases(), *node_cases())):
        if number % EVERY:
            continue
        found = outcome(model, inputs, outputs)
        counts[found.partition(":")[0]] += 1
        if found.startswith("wrong"):
            wrong.append(f"{name}: {found}")
    print(dict(counts))
    assert wrong == []
    assert counts["right"] * EVERY > 100
