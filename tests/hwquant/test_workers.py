"""Workers that are not there, or die, are named; what they say comes with the number of its item."""

import math
import multiprocessing
import time

import pytest

from hwquant import workers as module
from hwquant.errors import HwquantError
from hwquant.workers import open_workers

ITEMS = [5, 3, 11, 0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_item_is_evaluated_once(jobs):
    with open_workers(math.factorial, jobs, None) as workers:
        assert sorted(workers(ITEMS)) == [(at, math.factorial(item)) for at, item in enumerate(ITEMS)]


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(HwquantError, match=r"no Dask scheduler at 'tcp://127\.0\.0\.1:9'"),
        open_workers(math.factorial, None, "tcp://127.0.0.1:9"),
    ):
        pass


def test_a_cluster_without_workers_is_an_error(monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr(module, "CONNECT_SECONDS", 2)
    options = {"n_workers": 0, "processes": True, "dashboard_address": ":0", "host": "127.0.0.1"}
    with (
        LocalCluster(**options) as cluster,
        open_workers(math.factorial, None, cluster.scheduler_address) as workers,
        pytest.raises(HwquantError, match="has no workers; start some"),
    ):
        list(workers(ITEMS))


def test_zero_jobs_are_refused():
    with pytest.raises(HwquantError, match="jobs must be at least 1, not 0"):
        open_workers(math.factorial, 0, None)


def test_a_worker_process_that_dies_is_reported():
    with open_workers(time.sleep, 2, None) as workers:
        run = workers([0, *[0.2] * 40])
        next(run)
        for child in multiprocessing.active_children():
            child.kill()
        with pytest.raises(HwquantError, match="a worker process died"):
            list(run)
