"""The best division, against all divisions tried one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant.frontends.segment import largest_segment

ORDER = {"head": 0, "array": 1, "tail": 2}


@st.composite
def networks(draw):
    """Nodes that read earlier ones, their weights, those of the host, and pairs that cannot be together."""
    count = draw(st.integers(1, 7))
    sources = [draw(st.sets(st.integers(0, node - 1))) if node else set() for node in range(count)]
    weights = draw(st.lists(st.integers(0, 5), min_size=count, max_size=count))
    host = draw(st.sets(st.integers(0, count - 1)))
    edges = [(source, node) for node, read in enumerate(sources) for source in read]
    apart = set(draw(st.lists(st.sampled_from(edges), max_size=3))) if edges else set()
    return sources, weights, host, apart


def allowed(places, sources, host, apart):
    if any(places[node] == "array" for node in host):
        return False
    edges = [(source, node) for node, read in enumerate(sources) for source in read]
    if any(ORDER[places[source]] > ORDER[places[node]] for source, node in edges):
        return False
    return not any(places[node] == "array" and places[source] != "head" for source, node in apart)


def worth(places, weights):
    return sum(weight for weight, place in zip(weights, places) if place == "array")


@settings(deadline=None)
@given(networks())
def test_no_division_is_worth_more(network):
    sources, weights, host, apart = network
    places = largest_segment(sources, weights, host, apart)
    assert allowed(places, sources, host, apart)
    every = (item for item in product(ORDER, repeat=len(sources)) if allowed(item, sources, host, apart))
    assert worth(places, weights) == max(worth(item, weights) for item in every)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([5, 1, 4], ["array", "tail", "tail"]), ([4, 1, 5], ["head", "head", "array"])],
)
def test_of_two_parts_with_the_host_between_the_larger_is_taken(weights, expected):
    assert largest_segment([[], [0], [1]], weights, host={1}) == expected


def test_a_branch_beside_the_hosts_node_stays_on_the_array():
    # 0 -> 1 (host) -> 3, 0 -> 2 -> 3
    assert largest_segment([[], [0], [0], [1, 2]], [5, 0, 5, 1], host={1}) == [
        "array",
        "tail",
        "array",
        "tail",
    ]


def test_large_networks_are_divided_by_the_flow_that_is_needed():
    rng = np.random.default_rng(0)
    sources = [rng.choice(node, min(node, 2), replace=False).tolist() for node in range(600)]
    host = set(rng.choice(600, 60, replace=False).tolist())
    places = largest_segment(sources, rng.integers(0, 10**9, 600).tolist(), host)
    assert allowed(places, sources, host, ())
