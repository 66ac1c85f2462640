"""What is expected of configurations that were not evaluated."""

import numpy as np
import pytest

from hwquant.search.evaluate import Outcome
from hwquant.search.space import BIASES, WEIGHTS, Space, Variable
from hwquant.search.surrogate import POOL, Surrogate, pool

SPACE = Space(
    (
        *(Variable(WEIGHTS, f"layer{i}", 2**i, (2, 3, 4, 8)) for i in range(4)),
        Variable(BIASES, "layer0", 8, (6, 32)),
    )
)
SHARES = np.array([3.0, 0.2, 1.0, 40.0, 0.01])


def outcome(configuration):
    """Noise that adds up, a cost of factors, and an accuracy that falls with the noise."""
    noise = float(SHARES @ 4.0 ** -np.array(configuration)) + 1e-4
    cycles = 100.0 * np.prod([1.1 if bits > 3 else 1.0 for bits in configuration])
    return Outcome({"accuracy": 1 / (1 + 10 * noise), "cycles": cycles}, noise)


@pytest.fixture(scope="module")
def known():
    rng = np.random.default_rng(0)
    everything = list(SPACE.everything())
    chosen = [everything[i] for i in rng.permutation(len(everything))[:60]]
    return [(item, outcome(item)) for item in chosen]


def test_what_adds_up_and_multiplies_is_expected_as_it_is(known):
    seen = dict(known)
    others = [item for item in SPACE.everything() if item not in seen]
    accurate = [item.measures["accuracy"] > 0.6 for _, item in known]
    expected = Surrogate(SPACE, known, accurate).expect(others)
    for item, found in zip(others, expected, strict=True):
        true = outcome(item).measures
        assert found.measures["cycles"] == pytest.approx(true["cycles"], rel=0.02)
        assert found.measures["accuracy"] == pytest.approx(true["accuracy"], abs=0.12)
        if true["accuracy"] > 0.8:
            assert found.chance > 0.7
        if true["accuracy"] < 0.4:
            assert found.chance < 0.3


def test_one_known_candidate_is_enough(known):
    (found,) = Surrogate(SPACE, known[:1], [True]).expect([(2, 2, 2, 2, 6)])
    assert found.chance == 1.0
    assert found.measures["accuracy"] == known[0][1].measures["accuracy"]


def test_no_noise_at_all_is_no_obstacle():
    same = [
        (item, Outcome({"accuracy": 0.5, "cycles": 0.0}, 0.0)) for item in ((2, 2, 2, 2, 6), (8, 8, 8, 8, 32))
    ]
    (found,) = Surrogate(SPACE, same, [False, False]).expect([(3, 3, 3, 3, 6)])
    assert found.chance == 0.0
    assert found.measures["accuracy"] == 0.5
    assert np.isfinite(found.measures["cycles"])


def test_the_pool_is_everything_or_what_is_near_the_best():
    assert pool(SPACE, []) == list(SPACE.everything())
    vast = Space(tuple(Variable(WEIGHTS, str(i), 1, (2, 4, 8)) for i in range(12)))
    assert vast.size > POOL
    center = (4,) * 12
    near = pool(vast, [center])
    assert len(near) == len(set(near)) == 1 + 12 * 2 + 66 * 4
    assert max(sum(a != b for a, b in zip(item, center)) for item in near) == 2
    assert pool(vast, [(5,) * 12]) == []  # as 5 bits are not searched, what is near is not either
    assert len(pool(vast, [(bits,) * 12 for bits in (2, 4, 8)] * 40)) <= POOL
