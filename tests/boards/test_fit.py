"""Which array a board gets: the fastest that fits, found without compiling every one."""

import dataclasses
import re

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.board import Board
from hwquant.boards.clock_estimate import estimate_clock
from hwquant.boards.device import DEVICES
from hwquant.boards.fit import choose_array, largest_array
from hwquant.boards.needs import needs
from hwquant.boards.resources import estimate_resources
from hwquant.boards.shapes import SEVERAL, SHAPES, Shapes, regular
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.program.sides import array_name

TARGET = 50.0
UNIQUE = sorted({device.name: device for device in DEVICES.values()}.values(), key=lambda device: device.name)


def board(device, **changes):
    if isinstance(device, str):
        device = DEVICES[device]
    return Board("mine", "mine", dataclasses.replace(device, **changes), target_mhz=TARGET)


@pytest.fixture(scope="module")
def shapes():
    net = Net(seed=5, x=(3, 10, 10))
    first = net.pool(net.conv("x", 16, (3, 3), padding=(1, 1, 1, 1)), (2, 2))
    second = net.conv(first, 24, (3, 3), padding=(1, 1, 1, 1), bits=4)
    net.conv(second, 10, (5, 5))
    return Shapes(net.build())


def exhaustive(shapes, device):
    """(ms, LUTs, shape) of everything that fits."""
    found = []
    for shape in (*SHAPES, *SEVERAL):
        try:
            item = shapes.compiled(shape, device)
        except (DoesNotFit, Unsupported):
            continue
        items = needs(item.program.config, device, item.contents)
        if all(need.needed <= need.allowed for need in items):
            clock = estimate_clock(device, {need.resource: need.needed for need in items}, TARGET)
            found.append((item.report.cycles / (clock.megahertz * 1e3), items[0].needed, shape))
    return found


@pytest.mark.parametrize(
    ("device", "changes"),
    [
        ("ice40up5k", {}),
        ("lfe5u-25f", {}),
        ("gw1nr-9", {}),
        ("xc7a35t", {}),
        ("lfe5u-85f", {"rams": 30}),
        ("lfe5u-25f", {"luts": 4000}),
        ("lfe5u-45f", {"flip_flops": 5000}),
    ],
)
def test_the_chosen_array_is_the_fastest_of_all_that_fit(shapes, device, changes):
    mine = board(device, **changes)
    found = choose_array(shapes, mine)
    best = min(exhaustive(shapes, mine.device))
    assert found.fits
    assert (found.milliseconds, found.chosen.shape) == (best[0], array_name(best[2]))
    assert found.shapes == len(SHAPES) + len(SEVERAL)
    assert found.chosen.shape in found.reason


def test_the_next_faster_one_is_named_with_what_it_lacks(shapes):
    found = choose_array(shapes, board("lfe5u-25f", rams=14))
    assert found.runner_up.milliseconds < found.chosen.milliseconds
    assert not found.runner_up.fits
    assert found.runner_up.worst.excess > 1
    pattern = rf"; {found.runner_up.shape} would take [\d.]+ ms, but needs .*[\d,]+ (RAM|LUT|CELL) of [\d,]+"
    assert re.search(pattern, found.reason)


def test_what_does_not_fit_says_by_how_much_and_what_helps(shapes):
    mine = board("lfe5u-25f", rams=2)
    found = choose_array(shapes, mine)
    assert exhaustive(shapes, mine.device) == []
    assert not found.fits
    assert found.runner_up is None
    needed = found.chosen.worst.needed
    assert found.chosen.worst.resource == "ram"
    assert f"{found.chosen.shape} does not fit lfe5u-25f: it needs {needed} RAM of 2" in found.reason
    assert "pruned tiles need less memory" in found.reason
    assert found.reason.endswith("or take a larger board")


def test_a_share_of_the_luts_is_left_for_routing(shapes):
    device = DEVICES["lfe5u-25f"]
    item = shapes.compiled((4, 4), device)
    lut = needs(item.program.config, device, item.contents)[0]
    assert lut.resource == "lut"
    assert lut.allowed == int(device.luts * device.family.routable["lut"])
    tight = board(device, luts=int(lut.needed / 0.95))
    found = choose_array(shapes, tight, (4, 4))
    assert not found.fits
    assert found.chosen.worst.share < 1
    assert "can be routed" in found.reason


def test_a_given_array_is_judged_as_it_is(shapes):
    found = choose_array(shapes, board("lfe5u-85f"), (8, 4))
    report = shapes.compiled((8, 4), DEVICES["lfe5u-85f"]).report
    assert (found.chosen.rows, found.chosen.columns, found.shapes) == (8, 4, 1)
    assert (found.chosen.cycles, found.chosen.frame_cycles) == (report.cycles, report.frame_cycles)
    assert found.core_frames_per_second == found.clock_mhz * 1e6 / report.frame_cycles
    assert found.milliseconds == report.cycles / (found.clock_mhz * 1e3)
    assert found.reason == "8x4 fits lfe5u-85f"


def test_resources_are_those_of_the_model_with_the_link():
    config, device = ArrayConfig(4, 4), DEVICES["ice40up5k"]
    used = dataclasses.asdict(estimate_resources(config, device, link=True))
    assert {need.resource: need.needed for need in needs(config, device)} == used
    assert {need.resource: need.available for need in needs(config, device)} == device.resources


def test_limits_leave_out_the_arrays_that_cannot_keep_them(shapes):
    mine = board("lfe5u-85f")
    plain = Shapes(shapes.qgraph, pack_input="none")
    depths = [
        plain.compiled(shape, mine.device).program.config.activation_depth for shape in ((8, 8), (16, 8))
    ]
    assert depths[0] > depths[1], "fewer rows, more words"
    limits = {"activation_depth": depths[1]}
    found = choose_array(Shapes(shapes.qgraph, limits=limits, pack_input="none"), mine)
    assert found.fits
    assert found.chosen.rows > 8
    with pytest.raises(DoesNotFit, match=r"activation_depth .* is needed, 2 is available") as error:
        choose_array(Shapes(shapes.qgraph, limits={"activation_depth": 2}), mine)
    assert (error.value.resource, error.value.available) == ("activation_depth", 2)


def test_a_board_without_a_device_is_refused(shapes):
    with pytest.raises(Unsupported, match="the board 'mine' has no device that a network could fit"):
        choose_array(shapes, Board("mine", "mine", None))


def test_progress_counts_what_is_compiled(shapes):
    seen = []
    found = choose_array(shapes, board("gw1nr-9"), progress=lambda *values: seen.append(values))
    assert [done for _, done, _ in seen] == list(range(len(seen)))
    assert len(seen) <= found.compiled
    assert all(values[0] == "compile for mine" and values[2] == 0 for values in seen)


@pytest.mark.parametrize("device", UNIQUE, ids=lambda device: device.name)
def test_the_largest_array_is_the_largest_one_with_room(device):
    largest = largest_array(device)
    assert largest in regular(2)
    more = dataclasses.replace(
        device, luts=4 * device.luts, flip_flops=4 * device.flip_flops, rams=4 * device.rams
    )
    bigger = largest_array(more)
    assert bigger[0] * bigger[1] > largest[0] * largest[1]
    assert largest_array(dataclasses.replace(device, luts=100)) is None


def test_what_does_not_fit_is_an_error_with_figures_for_who_cannot_go_on(shapes):
    found = choose_array(shapes, board("lfe5u-25f", rams=2))
    error = found.shortfall()
    worst = found.chosen.worst
    assert (error.kind, error.resource, error.needed, error.available) == (
        "does_not_fit",
        "ram",
        worst.needed,
        2,
    )
    assert error.remedy.endswith("or take a larger board")
    assert str(error) == found.reason


def test_an_error_that_is_none_of_the_array_ends_the_search(shapes, monkeypatch):
    """Only what does not fit, or cannot be done on an array, leaves the array out."""

    def broken(*_):
        raise HwquantError("the file is gone")

    mine = Shapes(shapes.qgraph)
    monkeypatch.setattr(mine, "compiled", broken)
    with pytest.raises(HwquantError, match="the file is gone"):
        choose_array(mine, board("lfe5u-85f"))
    other = Shapes(shapes.qgraph)
    monkeypatch.setattr(other, "_guess", broken)
    with pytest.raises(HwquantError, match="the file is gone"):
        other.rough(DEVICES["lfe5u-85f"])
