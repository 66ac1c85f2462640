"""Element types of ATen operators, against torch's own promotion and rounding."""

import itertools

import numpy as np
import pytest
import torch

from hwquant.frontends.aten_schema import Unaccounted
from hwquant.frontends.aten_types import NAMES, Operand, computed, lossless, promoted, settled
from hwquant.frontends.values import Value

NUMBERS = (True, 2, 0.5)
"""What stands for Python's types."""


def operand(kind, rank):
    if rank == 0:
        return kind, Operand("other", "", kind)
    value = np.zeros(() if rank == 1 else (1,), np.float32)
    return torch.zeros(value.shape, dtype=getattr(torch, kind)), Operand("self", kind, value)


KINDS = [(kind, rank) for rank in (1, 2) for kind in NAMES] + [(kind, 0) for kind in NUMBERS]


@pytest.mark.parametrize(("kind", "rank"), [item for item in KINDS if item[1]])
def test_operands_are_promoted_as_by_torch(kind, rank):
    for other in KINDS:
        (one, ours), (two, theirs) = operand(kind, rank), operand(*other)
        want = str(torch.result_type(one, two)).removeprefix("torch.")
        assert promoted([ours, theirs]) == promoted([theirs, ours]) == want, other


def test_a_cast_is_lossless_if_torch_gives_every_value_back():
    for source, target in itertools.product(NAMES[:6], NAMES):
        kind = getattr(torch, source)
        if source == "bool":
            values = torch.tensor([False, True])
        else:
            info = torch.iinfo(kind)
            near = {info.min, info.max, *(1 << bit for bit in range(info.bits - 1)), 2049, 257}
            values = torch.tensor([value for value in near if info.min <= value <= info.max], dtype=kind)
        there = values.to(getattr(torch, target))
        exact = torch.equal(there.to(torch.float64), values.to(torch.float64))
        assert lossless(source, target) == (exact or target in ("float32", "float64")), (source, target)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(NAMES[6:], NAMES[6:])))
def test_a_cast_to_half_precision_rounds(source, target):
    assert lossless(source, target) == (source == target or target in ("float32", "float64"))


def test_constants_are_rounded_as_by_torch():
    values = np.random.default_rng(0).standard_normal(1000).astype(np.float32) * 1000
    for dtype in ("bfloat16", "float16", "float32", "int16", "int64"):
        want = torch.from_numpy(values).to(getattr(torch, dtype)).double().numpy()
        np.testing.assert_array_equal(settled(values, dtype).astype(np.float64), want)
    with pytest.raises(Unaccounted, match=r"a constant beyond what uint8 holds"):
        settled(np.array([300.0]), "uint8")


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("float32", "float64", r"'weight' is float64 and 'self' is float32, which torch does not mix"),
        ("uint8", "uint8", r"'self' is uint8 here, an integer; cast it to float before arithmetic"),
        ("float16", "float16", r"computes in float16, whose rounding is not reproduced"),
    ],
)
def test_an_operator_that_computes_has_one_real_type(one, other, message):
    operands = [Operand("self", one, Value("x", (1, 2))), Operand("weight", other, np.ones(2))]
    with pytest.raises(Unaccounted, match=message):
        computed(operands, {})
