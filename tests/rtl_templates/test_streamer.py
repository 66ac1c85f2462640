"""The address generator against nested loops."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from hwquant_testing.clocked import interact

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import LEVELS
from hwquant.rtl_templates.streamer import Streamer

CONFIG = ArrayConfig(4, 8, activation_depth=3000, accumulator_depth=100, coordinate_bits=9, offset_bits=6)
ADDRESSES = 1 << CONFIG.activation_address_bits
FLAGS = ("first", "last", "parameters", "offsets", "source", "layer")


def random_geometry(rng):
    limits = [int(rng.choice([0, 0, 1, 2, 5])) for _ in range(LEVELS)]
    return {
        "levels": [
            {
                "limit": limit,
                "step": int(rng.integers(0, ADDRESSES)),
                "y": int(rng.integers(-6, 7)),
                "x": int(rng.integers(-6, 7)),
            }
            for limit in limits
        ],
        "plane": {
            "height": int(rng.integers(1, 20)),
            "width": int(rng.integers(1, 20)),
            "pad": int(rng.integers(-128, 128)),
        },
    }


def random_job(rng, count, summed=False):
    job = {
        "address": int(rng.integers(0, ADDRESSES)),
        "part": int(rng.integers(0, CONFIG.reads_per_word)),
        "y": int(rng.integers(-8, 8)),
        "x": int(rng.integers(-8, 8)),
        "count": count,
        "offset": int(rng.integers(-32, 32)),
    }
    flags = (*FLAGS, "summed") if summed else FLAGS
    return job | {flag: int(rng.random() < 0.4) for flag in flags}


def expected(job, geometry):
    """What leaves with each of the job's pixels: four nested loops, the innermost first."""
    address, y, x = job["address"], job["y"], job["x"]
    index = [0] * LEVELS
    for number in range(job["count"]):
        inside = 0 <= y < geometry["plane"]["height"] and 0 <= x < geometry["plane"]["width"]
        limits = [level["limit"] for level in geometry["levels"]]
        window_first = index[0] == index[1] == 0
        window_last = index[0] == limits[0] and index[1] == limits[1]
        summed = job.get("summed", 0)
        yield {
            "read.address": address,
            "selection.part": job["part"],
            "selection.outside": int(not inside),
            "selection.pad": geometry["plane"]["pad"],
            "offset": job["offset"],
            "pixel": {
                "valid": 1,
                "start": int(number == 0),
                "hold": int(summed and not window_first),
                "first": job["first"],
                "last": int(job["last"] and (window_last or not summed)),
                "parameters": int(number == 0 and job["parameters"]),
                "layer": int(number == 0 and job["layer"]),
                "pool_first": int(window_first or summed),
                "pool_last": int(window_last),
            },
        }
        level = next((k for k in range(LEVELS - 1) if index[k] < limits[k]), LEVELS - 1)
        index = [0] * level + [index[level] + 1] + index[level + 1 :]
        step = geometry["levels"][level]
        address, y, x = (address + step["step"]) % ADDRESSES, y + step["y"], x + step["x"]


def run(jobs, geometries, waits, config=CONFIG):
    """Starts the jobs as soon as they may start, and ``waits`` cycles later; the history of every cycle."""
    starts, state = [], {"next": 0, "wait": waits[0], "tail": 4}

    def step(cycle, seen):
        geometry = geometries[min(state["next"], len(jobs) - 1)]
        if not seen["tile.ready"]:
            return {"tile.start": 0, "geometry": geometry}
        if state["next"] == len(jobs):
            state["tail"] -= 1
            return {"tile.start": 0} if state["tail"] else None
        if state["wait"]:
            state["wait"] -= 1
            return {"tile.start": 0, "geometry": geometry}
        number = state["next"]
        state["next"] += 1
        state["wait"] = waits[number + 1] if number + 1 < len(jobs) else 0
        starts.append(cycle)
        return {"tile.start": 1, "tile.job": jobs[number], "geometry": geometry}

    outputs = (
        *("tile.ready", "read.address", "selection.part", "selection.outside", "selection.pad"),
        *("pixel", "offset"),
    )
    history = interact(Streamer(config), step, outputs)
    assert len(starts) == len(jobs)
    return starts, history


def check(jobs, geometries, waits, config=CONFIG):
    starts, history = run(jobs, geometries, waits, config)
    current, leaves = None, {}
    for job, geometry, start in zip(jobs, geometries, starts):
        if job["source"] or job["layer"]:
            current = geometry
        for number, row in enumerate(expected(job, current)):
            leaves[start + 1 + number] = row | {"tile.ready": int(number == job["count"] - 1)}
    for cycle, seen in enumerate(history):
        if cycle in leaves:
            assert seen == leaves[cycle], f"cycle {cycle}"
        else:
            marks = seen["pixel"]
            assert (seen["tile.ready"], marks["valid"], marks["start"], marks["parameters"]) == (1, 0, 0, 0)
    return starts


@pytest.mark.parametrize("seed", range(6))
def test_the_streamer_visits_the_pixels_of_nested_loops(seed):
    rng = np.random.default_rng(seed)
    counts = rng.choice([1, 2, 3, 4, 17, 60, 100], 40).tolist()
    jobs = [random_job(rng, count) for count in counts]
    jobs[0]["layer"] = 1
    # The port shows another geometry all the time; only jobs with a source or a layer take it.
    geometries = [random_geometry(rng) for _ in jobs]
    waits = [0] * len(jobs) if seed % 2 else rng.integers(0, 4, len(jobs)).tolist()
    starts = check(jobs, geometries, waits)
    if seed % 2:
        assert np.diff(starts).tolist() == counts[:-1], "one address a cycle, without a pause between jobs"


@pytest.mark.parametrize("seed", range(20))
def test_loop_steps_reach_every_pixel_of_a_strided_window(seed):
    """Windows (overlapping, dilated or with gaps) over a strided convolution's pixels, in order."""
    rng = np.random.default_rng(seed)
    (wh, ww), (qy, qx), (dy, dx), (sy, sx), (height, width) = rng.integers(1, 4, (5, 2)).tolist()
    plane_height, plane_width, begin = 9, 11, 1500
    top, left = (int(value) for value in rng.integers(-3, 1, 2))

    def position(index):
        column, row, x, y = index
        return top + (y * qy + row * dy) * sy, left + (x * qx + column * dx) * sx

    order = [index[::-1] for index in product(range(height), range(width), range(wh), range(ww))]
    visited = [position(index) for index in order]
    limits = [ww - 1, wh - 1, width - 1, 0]
    levels = []
    for level, limit in enumerate(limits):
        # From where all inner loops are at their end, to where this one is one further and they begin again.
        end, following = [*limits[:level], 0, 0, 0, 0][:LEVELS], [0] * LEVELS
        following[level] = 1
        (y, x), (next_y, next_x) = position(end), position(following)
        step = (next_y - y) * plane_width + next_x - x
        levels.append({"limit": limit, "step": step % ADDRESSES, "y": next_y - y, "x": next_x - x})
    plane = {"height": plane_height, "width": plane_width, "pad": -3}
    address = begin + top * plane_width + left
    job = random_job(rng, len(order)) | {"address": address, "y": top, "x": left, "layer": 1}
    starts, history = run([job], [{"levels": levels, "plane": plane}], [0])
    seen = history[starts[0] + 1 : starts[0] + 1 + len(order)]
    assert [row["read.address"] - begin for row in seen] == [y * plane_width + x for y, x in visited]
    assert [row["selection.outside"] for row in seen] == [
        int(not (0 <= y < plane_height and 0 <= x < plane_width)) for y, x in visited
    ]
    ends = [index[0] == ww - 1 and index[1] == wh - 1 for index in order]
    assert [row["pixel"]["pool_last"] for row in seen] == [int(end) for end in ends]
    begins = [index[0] == 0 and index[1] == 0 for index in order]
    assert [row["pixel"]["pool_first"] for row in seen] == [int(begin) for begin in begins]


def test_planes_and_coordinates_at_the_limits_of_their_width():
    """A plane of 2^(coordinate_bits - 1) - 1 pixels; the coordinates on both sides of it are padding."""
    greatest = (1 << (CONFIG.coordinate_bits - 1)) - 1
    rng = np.random.default_rng(0)
    still = {"limit": 0, "step": 0, "y": 0, "x": 0}
    levels = [{"limit": greatest, "step": 1, "y": 0, "x": 1}] + [still] * 3
    geometry = {"levels": levels, "plane": {"height": greatest, "width": greatest, "pad": 7}}
    job = random_job(rng, 100) | {"y": greatest - 1, "layer": 1}
    outside = random_job(rng, 1) | {"y": -greatest - 1, "x": 0}
    edge = random_job(rng, 3) | {"y": 0, "x": greatest - 2}
    check([job | {"x": -50}, outside, edge], [geometry] * 3, [0, 0, 0])
    assert [row["selection.outside"] for row in expected(edge, geometry)] == [0, 0, 1]


@pytest.mark.parametrize("seed", range(3))
def test_sums_over_a_window_appear_with_its_last_pixel(seed):
    rng = np.random.default_rng(seed)
    config = dataclasses.replace(CONFIG, window_sums=True)
    jobs = [random_job(rng, count, summed=True) for count in rng.choice([1, 5, 24, 60], 30).tolist()]
    jobs[0]["layer"] = 1
    geometries = [random_geometry(rng) for _ in jobs]
    check(jobs, geometries, [0] * len(jobs), config)


@pytest.mark.parametrize("seed", range(4))
def test_outputs_of_a_depthwise_tile_begin_after_the_lead_and_leave_out_the_ends_of_rows(seed):
    rng = np.random.default_rng(seed)
    config = ArrayConfig(9, 4, tap_lines=3, tap_depth=32, coordinate_bits=8, accumulator_depth=64)
    width, pitch, rows, tail = (int(rng.integers(*bounds)) for bounds in ((1, 9), (9, 12), (1, 6), (0, 9)))
    lead = 2 * (pitch - 3)
    flags = dict.fromkeys(FLAGS, 0) | {"layer": 1, "taps": 1, "first": 1, "last": 1, "parameters": 1}
    count = lead + (rows - 1) * pitch + width + tail
    job = {"address": 3, "part": 0, "y": 0, "x": -1, "count": count, "offset": 0} | flags
    level = {"limit": 0, "step": 0, "y": 0, "x": 0}
    geometry = {
        "levels": [
            level,
            level,
            level | {"limit": pitch - 1, "step": 1, "x": 1},
            level | {"step": 2, "y": 1},
        ],
        "plane": {"height": 9, "width": 9, "pad": 5},
        "taps": {"delay": pitch - 3, "width": width, "lead": lead, "tail": tail},
    }

    def step(cycle, seen):
        return (
            {"tile.start": int(cycle % 400 == 0), "tile.job": job, "geometry": geometry}
            if cycle < 800
            else None
        )

    history = interact(Streamer(config), step, ("pixel", "streaming", "swap", "taps", "delay"))
    for start in (1, 401):  # the counters begin anew with each tile
        outputs = [row * pitch + lead + x for row in range(rows) for x in range(width)]
        for number in range(count):
            seen = history[start + number]
            marks = seen["pixel"]
            assert (seen["streaming"], seen["swap"], seen["taps"]) == (1, int(number == 0), 1)
            assert seen["delay"] == pitch - 3
            assert marks["valid"] == int(number in outputs)
            assert marks["start"] == marks["parameters"] == int(number == outputs[0])
        assert not history[start + count]["streaming"]
