"""Damaged models that are quantized already: refused by one error, or what onnxruntime computes as well.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make longer campaigns of the nightly ones.
"""

from collections import Counter

import numpy as np
import onnx
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.onnx_oracle import feeds, runtime
from hwquant_testing.quantized_mutations import quantized, quantized_mutation
from hwquant_testing.seeds import seed_ranges
from onnx import numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.frontends import load_model
from hwquant.quantize import quantize

MOST_STEPS = 3
"""By which outputs may differ: each layer by one, some of which reach the output."""


def calibrated(graph, seed):
    """The network in integers, with random data where it wants some."""
    try:
        return quantize(graph)
    except HwquantError:
        rng = np.random.default_rng(seed)
        x = {item.name: rng.uniform(-4, 4, (8, *item.shape)) for item in graph.given_inputs}
        return quantize(graph, x, error_compensation=False)


def difference(qgraph, got, wanted):
    """How far outputs of the array's part are off, in steps; None where they are not finite."""
    worst = 0.0
    for name, ours, theirs in zip(qgraph.network_outputs, got, wanted, strict=True):
        output = next((item for item in qgraph.outputs if item.name == name and not item.host), None)
        if output is None or theirs.dtype.kind in "iu":
            continue
        if not np.isfinite(theirs).all():
            return None
        assert ours.size == theirs.size
        step = qgraph.tensors[output.tensor].scale
        worst = max(worst, float(np.abs(ours.reshape(theirs.shape) - theirs).max(initial=0.0)) / step)
    return worst


def overflows(model):
    """Whether a bias is so large that the runtime's sums of 32 bits wrap around."""
    arrays = (numpy_helper.to_array(item) for item in model.graph.initializer)
    return any(
        (np.abs(array.astype(np.int64)) > 1 << 30).any() for array in arrays if array.dtype == np.int32
    )


def outcome(seed, path, batch=4):
    """What becomes of a mutation: "refused", "equal", or what is wrong with it."""
    path.write_bytes(quantized_mutation(seed))
    graph = attempt(load_model, path)
    if isinstance(graph, HwquantError):
        return "refused"
    qgraph = attempt(calibrated, graph, seed)
    if isinstance(qgraph, HwquantError):
        return "refused"
    model = onnx.load(path)
    data = {name: array * np.float32(1.5) for name, array in feeds(model, seed, batch).items()}
    got = attempt(golden.predict, qgraph, {item.name: data[item.name] for item in qgraph.given_inputs})
    try:
        wanted = runtime(model, data)
    except NoKernel:
        return "no verdict"
    except Exception as error:  # whatever the runtime raises
        if batch > 1:  # a model may take a single sample only, although its batch is open
            return outcome(seed, path, 1)
        refused = isinstance(got, HwquantError) and graph.host is not None  # it shows when the host computes
        return "refused" if refused else f"seed {seed}: accepted, and refused by onnxruntime: {error}"
    if isinstance(got, HwquantError) and "by onnxruntime" in str(got):
        return "no verdict"  # of the host's part, which it fuses to what it then refuses
    if isinstance(got, HwquantError):
        return f"seed {seed}: it cannot be computed: {got}"
    steps = difference(qgraph, got, wanted)
    if steps is None or overflows(model):
        return "no verdict"
    return "equal" if steps <= MOST_STEPS + 0.01 else f"seed {seed}: {steps:.2f} steps off"


@pytest.mark.parametrize("seeds", seed_ranges(40, 2000))
def test_mutations_are_refused_or_computed_as_onnxruntime_does(seeds, tmp_path):
    counts = Counter(outcome(seed, tmp_path / "model.onnx") for seed in seeds)
    assert set(counts) <= {"refused", "equal", "no verdict"}
    assert counts["equal"] >= len(seeds) // 10
    assert counts["refused"] >= len(seeds) // 4


def test_what_is_mutated_is_sound(tmp_path):
    for seed in range(6):
        onnx.save(quantized(seed), tmp_path / "model.onnx")
        quantize(load_model(tmp_path / "model.onnx"))
