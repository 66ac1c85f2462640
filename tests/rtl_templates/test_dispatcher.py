"""The dispatcher against the inequalities of its docstring, which hold and are tight."""

import numpy as np
import pytest
from hwquant_testing.clocked import interact
from hwquant_testing.seeds import nightly

from hwquant.program.array_shape import ACCUMULATE_HAZARD
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dispatcher import Dispatcher

CONFIGS = {
    "8x8": ArrayConfig(8, 8),
    "2x2": ArrayConfig(2, 2),
    "3x9, channel offsets": ArrayConfig(3, 9, channel_offsets=True),
    "5x4, sum": ArrayConfig(5, 4, offset="sum"),
    "4x12, multiplier": ArrayConfig(4, 12, multiplier_bits=16),
    "4x9, window sums": ArrayConfig(4, 9, window_sums=True),
}


def random_jobs(rng, config, count):
    return [
        {
            "address": number,
            "count": int(rng.choice([1, 2, 3, 5, 9, 30])),
            "layer": int(number == 0 or rng.random() < 0.25),
            "parameters": int(rng.random() < 0.4),
            "offsets": int(config.channel_offsets and rng.random() < 0.3),
            **({"settle": int(rng.random() < 0.5)} if config.settles else {}),
        }
        for number in range(count)
    ]


class Engines:
    """The loader and the streamer that a dispatcher sees, and the host of its jobs; each may be late."""

    def __init__(self, config, jobs, delay):
        self.config, self.jobs, self.delay = config, jobs, delay
        # As long as it takes until everything is written, or not at all, or anything between that hardware can.
        choices, rng = [0, *range(2, config.drain_latency)], np.random.default_rng(len(jobs))
        odds = [0.3, *[0.3 / (len(choices) - 2)] * (len(choices) - 2), 0.4]
        self.waits = [int(rng.choice(choices, p=odds)) if job["layer"] else None for job in jobs]
        self.accepted, self.loads, self.starts = [], [], []
        self.loaded, self.streamed = [0], [0]  # when the engines are ready again
        self.offer = delay()
        self.tail = config.drain_latency + 3

    def step(self, cycle, seen):
        if len(self.starts) == len(self.jobs) and cycle > self.streamed[-1]:
            self.tail -= 1
            if not self.tail:
                return None
        number, started = len(self.accepted), len(self.starts) - 1
        offering = number < len(self.jobs) and cycle >= self.offer
        end = self.starts[-1] + self.jobs[started]["count"] if self.starts else -1
        waits = [wait for wait in self.waits[len(self.starts) :] if wait is not None]
        return {
            "wait": waits[0] if waits else 0,
            "jobs.valid": int(offering),
            "jobs.payload": self.jobs[number] if offering else {},
            "load.ready": int(cycle >= self.loaded[-1]),
            "stream.ready": int(cycle >= self.streamed[-1]),
            "streaming": int(bool(self.starts) and self.starts[-1] < cycle <= end),
        }

    def after(self, cycle, seen):
        if seen["stream.start"]:
            job = self.jobs[len(self.starts)]
            assert {name: seen["stream.job"][name] for name in job} == job, "jobs start in order"
            self.starts.append(cycle)
            self.streamed.append(cycle + job["count"] + self.delay())
        if seen["load.start"]:
            job = self.jobs[len(self.loads)]
            assert {name: seen["load.job"][name] for name in job} == job, "jobs are loaded in order"
            self.loads.append(cycle)
            self.loaded.append(cycle + self.config.load_cycles + job["offsets"] + self.delay())
        if seen["jobs.valid"] and seen["jobs.ready"]:
            self.accepted.append(cycle)
            self.offer = cycle + 1 + self.delay()


def run(config, jobs, delay):
    engines = Engines(config, jobs, delay)
    outputs = ("jobs.valid", "jobs.ready", "load.start", "load.job", "stream.start", "stream.job", "idle")
    return engines, interact(Dispatcher(config), engines.step, outputs, engines.after)


def bounds(engines, k):
    """Every lower bound of u[k] and of t[k]."""
    config, jobs, u, t = engines.config, engines.jobs, engines.loads, engines.starts
    job = jobs[k]
    load = {"accepted": engines.accepted[k] + 1, "shadow weights": t[k - 1] if k else 0}
    start = {"loaded": engines.loaded[k + 1], "streamed": engines.streamed[k]}
    if job["layer"] and k:
        wait = engines.waits[k]
        name = "drained" if wait == config.drain_latency - 1 else "waited" if wait else "not waited"
        start[name] = t[k - 1] + jobs[k - 1]["count"] + wait
    if job.get("settle") and k:
        start["settled"] = t[k - 1] + jobs[k - 1]["count"] + ACCUMULATE_HAZARD - 1
    before = [n for n in range(k) if jobs[n]["parameters"]]
    if job["parameters"] and before:
        start["parameters"] = t[before[-1]] + config.columns
    assert engines.loaded[k + 1] >= u[k] + config.load_cycles + job["offsets"]
    return load, start


def lateness(rng, chance):
    return lambda: int(rng.integers(1, 40)) if rng.random() < chance else 0


@pytest.mark.one_in(2)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(("seed", "chance"), [(0, 0.0), (2, 0.2), *nightly([(1, 0.0), (3, 0.5)])])
def test_tiles_are_loaded_and_started_as_soon_as_the_inequalities_allow(config, seed, chance):
    rng = np.random.default_rng(seed)
    engines, history = run(config, random_jobs(rng, config, 140), lateness(rng, chance))
    assert len(engines.starts) == len(engines.jobs)
    decisive = set()
    for k in range(len(engines.jobs)):
        load, start = bounds(engines, k)
        assert engines.loads[k] == max(load.values()), (k, load)
        assert engines.starts[k] == max(start.values()), (k, start)
        for limits in (load, start):
            decisive |= {name for name, value in limits.items() if value == max(limits.values())}
    # Otherwise the equalities above would hold without the bound.
    assert decisive >= {"accepted", "shadow weights", "loaded", "streamed", "drained", "waited"}
    if config.settles:
        assert "settled" in decisive
    if config.columns > config.load_cycles:
        assert "parameters" in decisive
    assert history[-1]["idle"]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("chance", [0.0, 0.3])
def test_the_dispatcher_is_idle_only_when_nothing_is_held_or_on_its_way(config, chance):
    rng = np.random.default_rng(7)
    jobs = random_jobs(rng, config, 40)
    engines, history = run(config, jobs, lateness(rng, chance))
    held = np.zeros(len(history) + 1, bool)
    for accepted, start, job in zip(engines.accepted, engines.starts, jobs):
        # The last write of a job is drain_latency - 1 cycles after its last address.
        held[accepted + 1 : start + job["count"] + config.drain_latency - 1] = True
    assert [row["idle"] for row in history] == (~held[: len(history)]).astype(int).tolist()


def test_the_next_job_is_taken_while_one_is_loaded_and_one_streams():
    """Two slots: of jobs that are offered all the time, the third waits for the start of the first."""
    config = CONFIGS["8x8"]
    jobs = [
        {"address": n, "count": 30, "layer": int(n == 0), "parameters": 0, "offsets": 0} for n in range(5)
    ]
    engines, _ = run(config, jobs, lambda: 0)
    first = engines.starts[0]
    assert engines.accepted[1] <= first
    assert engines.accepted[2] == engines.loads[1] + 1 == first + 1
    assert np.diff(engines.starts).tolist() == [30] * 4
