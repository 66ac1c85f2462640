"""The worked examples of the public functions, run."""

import doctest

import pytest

import hwquant

WITH_EXAMPLES = (
    "quantize_network",
    "quantize_progressively",
    "prune_network",
    "search_bits",
    "truncate_network",
    "optimize_network",
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_an_example_gives_what_it_shows(name):
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(hwquant, name), name, globs={})
    assert len(example.examples) > 4
    said = []
    doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=said.append)
    assert not said, "".join(said)
