"""Random networks of ATen operators: refused by name, or torch's own result.

``HWQUANT_FUZZ_CASES`` and ``HWQUANT_FUZZ_SEED`` make longer campaigns of the nightly ones.
"""

import os
import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from hwquant_testing.limits import attempt
from hwquant_testing.torch_network import program
from hwquant_testing.torch_networks import UNCALLED, Generator
from hwquant_testing.whole import from_exported, load_model

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends import aten
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_declared import ARGUMENTS, DECLARED

CASES = int(os.environ.get("HWQUANT_FUZZ_CASES", "20000"))
SEED = int(os.environ.get("HWQUANT_FUZZ_SEED", "1000000"))
BATCH = 500
pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # torch warns of odd arguments, which are what this is about


def computed(network, inputs):
    """What torch computes."""
    with torch.no_grad():
        return network(*(item.clone() for item in inputs)).double().numpy()


def judge(generator, load, label):
    """True if the network was accepted; its results must be torch's then."""
    graph = attempt(load)
    if isinstance(graph, HwquantError):
        assert str(graph), label
        return False
    want = computed(generator.network, generator.inputs)
    data = {item.name: value.numpy() for item, value in zip(graph.inputs, generator.inputs, strict=True)}
    (got,) = predict(graph, data)
    if len(got) == 1 and got.shape[1:] == want.shape:  # all of it is of the one sample
        got = got[0]
    context = f"{label}\n{generator.network}"
    assert got.shape == want.shape, context
    if np.isfinite(want).all() and np.isfinite(generator.magnitude):
        rounding = 1e-4 * np.abs(want).max() + 1e-6 * generator.magnitude
        if np.abs(got - want).max() > rounding:  # float32 may be on the other side of a step, such as floor's
            doubles = [item.double() if item.is_floating_point() else item for item in generator.inputs]
            want = computed(deepcopy(generator.network).double(), doubles)
        assert np.abs(got - want).max() <= rounding, context
    return True


def run_direct(seeds):
    accepted = 0
    for seed in seeds:
        generator = Generator(seed)
        if generator.network.steps:
            made = program(generator.network, generator.inputs)
            accepted += judge(generator, lambda made=made: translate(made), f"seed {seed}")
    return accepted


class Reads(dict):
    """Arguments of one call that remember which of them were read."""

    def __init__(self, operator, arguments, seen):
        super().__init__(arguments)
        self._operator, self._seen = operator, seen

    def __getitem__(self, name):
        self._seen.add((self._operator, name))
        return super().__getitem__(name)

    def get(self, name, default=None):
        self._seen.add((self._operator, name))
        return super().get(name, default)


def test_random_networks_are_refused_or_equal_torch():
    assert run_direct(range(400)) > 100


def test_every_argument_that_is_declared_used_is_read(monkeypatch):
    seen = set()
    original = aten.account

    def recording(operator, schema, given):
        return Reads(operator, original(operator, schema, given), seen)

    monkeypatch.setattr(aten, "account", recording)
    unread = set()
    for operator, schemas in DECLARED.items():
        for schema in schemas.values():
            used = {(operator, item.name) for item in schema.arguments if item.name not in ARGUMENTS}
            for seed in range(0 if operator in UNCALLED else 60):
                if used <= seen:
                    break
                generator = Generator(seed, schema)
                attempt(translate, program(generator.network, generator.inputs))
            else:
                unread |= used - seen
    # What torch.export inserts itself, or what only makes sense behind certain others, has tests of its own;
    # the other tensor of a cast is read by the rule of its type.
    assert {pair for pair in unread if pair[0] not in UNCALLED} == {("to", "other"), ("type_as", "other")}


@pytest.mark.nightly
@pytest.mark.parametrize("start", range(SEED, SEED + CASES, BATCH))
def test_many_random_networks_are_refused_or_equal_torch(start):
    assert run_direct(range(start, min(start + BATCH, SEED + CASES))) > 0


def run_exported(seed, tmp_path):
    """The same network as torch.export writes it: in memory, in a file, and decomposed."""
    generator = Generator(seed)
    if not generator.network.steps:
        return
    try:
        exported = torch.export.export(generator.network, generator.inputs, strict=False)
    except (RuntimeError, ValueError, TypeError, AssertionError):
        return  # torch's own limits: `sym_size` of no batch, scalars as results
    path = tmp_path / "net.pt2"
    torch.export.save(exported, path)
    accepted = judge(generator, lambda: from_exported(exported), f"seed {seed}, exported")
    assert judge(generator, lambda: load_model(path), f"seed {seed}, .pt2") == accepted
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            decomposed = exported.run_decompositions()
        except (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError):
            return
    judge(generator, lambda: from_exported(decomposed), f"seed {seed}, decomposed")


@pytest.mark.parametrize("seed", range(1, 17, 2))
def test_random_modules_through_torch_export(seed, tmp_path):
    run_exported(seed, tmp_path)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(SEED, SEED + CASES // 50))
def test_many_random_modules_through_torch_export(seed, tmp_path):
    run_exported(seed, tmp_path)
