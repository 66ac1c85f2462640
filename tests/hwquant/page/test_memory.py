"""The memory map: what the compiler placed, and when it is needed."""

from itertools import combinations, pairwise

import pytest
from hwquant_testing.banded_networks import inverted_residuals

from hwquant.build import write_build
from hwquant.page.memory import external_map, memory_map, occupancy
from hwquant.page.page import render
from hwquant.page.passes import passes
from hwquant.page.record import Record
from hwquant.program.compiler import compile_network
from hwquant.program.external import ExternalMemory


@pytest.fixture(params=["mixed_build", "digits_build"])
def build(request):
    return request.getfixturevalue(request.param)


def test_every_stored_tensor_has_its_addresses(build):
    spans = {item.name: item for item in memory_map(build, passes(build))}
    places = {item.name: item for item in build.program.inputs} | build.program.tensors
    assert set(spans) == set(places)
    for name, place in places.items():
        assert (spans[name].address, spans[name].words) == (place.address, place.words)
        assert spans[name].address + spans[name].words <= build.program.config.activation_depth


def test_tensors_that_are_needed_at_the_same_time_do_not_overlap(build):
    spans = memory_map(build, passes(build))
    for one, other in combinations(spans, 2):
        if one.begin < other.end and other.begin < one.end:
            assert one.address + one.words <= other.address or other.address + other.words <= one.address, (
                f"{one.name} and {other.name}"
            )


def test_a_tensor_stays_from_its_writer_to_its_last_reader(mixed_build):
    rows = passes(mixed_build)
    first, depthwise, added, both, last = rows
    spans = {item.name: item for item in memory_map(mixed_build, rows)}
    assert (spans["x"].begin, spans["x"].end, spans["x"].writer) == (0, first.end, "")
    pooled = spans[first.report.name]
    assert (pooled.begin, pooled.end) == (first.start, added.end)
    assert pooled.readers == (depthwise.report.name, added.report.name)
    assert spans[added.report.name].end == last.end, "an output stays to the end"
    assert spans[added.report.name].output
    assert not pooled.output
    assert spans[both.report.name].readers == (last.report.name,)


def test_occupancy_is_a_share_of_words_and_cycles(digits_build):
    rows = passes(digits_build)
    spans = memory_map(digits_build, rows)
    depth, cycles = digits_build.program.config.activation_depth, digits_build.report.cycles
    grid = sum(sum(span.words for span in spans if span.begin <= cycle < span.end) for cycle in range(cycles))
    assert occupancy(spans, depth, cycles) == pytest.approx(grid / (depth * cycles))


@pytest.fixture
def banded(tmp_path):
    qgraph = inverted_residuals()
    limits = {"activation_depth": 256, "weight_depth": 100}
    program = compile_network(qgraph, (4, 4), external=ExternalMemory(32), limits=limits)
    return write_build(qgraph, program, tmp_path / "build")


def test_of_tensors_that_come_piece_by_piece_the_map_has_what_the_array_writes(banded):
    program, rows = banded.program, passes(banded)
    assert program.parts
    spans = memory_map(banded, rows)
    assert [span.name for span in spans] == list(dict.fromkeys(layer.tensor for layer in program.layers))
    assert all(0 <= span.begin < span.end <= rows[-1].end for span in spans)
    assert all(span.address + span.words <= program.config.activation_depth for span in spans)
    for one, other in combinations(spans, 2):
        if one.begin < other.end and other.begin < one.end:
            assert one.address + one.words <= other.address or other.address + other.words <= one.address
    page = render(banded, Record())
    assert "Activation memory over time" in page
    assert page.count("<div") == page.count("</div>")
    assert page.count("<section") == page.count("</section>")


def test_external_memory_has_a_map_of_regions_that_its_address_reaches(banded, digits_build):
    program = banded.program
    regions = external_map(program)
    assert [region.what for region in regions] == ["weights", "parameters", "activations"]
    for one, other in pairwise(regions):
        assert one.begin + one.size <= other.begin < one.begin + one.size + 256
    assert regions[1].begin + regions[1].size == program.external_image.size
    assert regions[-1].begin + regions[-1].size <= 4 << program.config.external_address_bits
    page = render(banded, Record())
    assert 'id="external"' in page
    assert all(f"{region.size:,}" in page for region in regions)
    assert external_map(digits_build.program) == ()
    assert 'id="external"' not in render(digits_build, Record())
