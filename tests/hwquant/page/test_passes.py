"""The rows of the report: every pass, its place in time, what it covers."""

from hwquant.page.passes import passes


def test_passes_follow_each_other_and_fill_the_inference(mixed_build):
    rows = passes(mixed_build)
    assert rows[0].start == 0
    assert [item.end for item in rows[:-1]] == [item.start for item in rows[1:]]
    assert rows[-1].end == mixed_build.report.cycles


def test_every_node_of_the_network_is_covered_once(mixed_build):
    covered = [name for item in passes(mixed_build) for name in item.report.covers]
    assert sorted(covered) == sorted(node.name for node in mixed_build.qgraph.nodes)


def test_a_pass_is_described_in_words(mixed_build):
    first, depthwise, added, both, last = passes(mixed_build)
    assert first.operation == "conv 3x3 pad 1, then max pool 2x2 /2"
    assert (first.inputs, first.output) == (("3x8x8",), "8x4x4")
    assert depthwise.operation == "conv 3x3 pad 1 groups 8"
    assert added.operation == "conv 1x1 + conv 1x1"
    assert added.inputs == ("8x4x4", "8x4x4")
    assert both.operation == "concat"
    assert (both.bits, both.shift, both.offset) == (None, None, None)
    assert last.operation == "fully connected"
    assert last.report.tiles_skipped > 0


def test_the_ideal_cycles_of_a_pass_are_never_more_than_its_cycles(mixed_build):
    report = mixed_build.report
    for item in passes(mixed_build):
        assert 0 <= item.ideal <= item.report.cycles
        assert item.busy == item.report.useful_macs / (report.rows * report.columns)
        assert item.activation_bits == (8, 8)
        layer = next(node for node in mixed_build.qgraph.nodes if node.name == item.report.covers[0])
        if hasattr(layer, "shift"):
            assert item.shift == (layer.shift.min(), layer.shift.max())
