"""A search: the same outcomes from this process, from others, and from a Dask cluster whose workers die."""

import os
import signal
import warnings

import pytest

from hwquant.search import Constraints, SearchOptions, search
from hwquant.search.evaluate import evaluate
from hwquant.workers import open_workers

CONFIGURATIONS = [(8, 8, 8), (4, 4, 4), (2, 2, 2), (2, 4, 8)]


def outcomes(task, **where):
    with open_workers(task, where.get("jobs"), where.get("scheduler")) as workers:
        found = dict(workers(CONFIGURATIONS))
    return [found[index] for index in range(len(CONFIGURATIONS))]


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes."""
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ports, and about what a killed worker leaves
        with LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1"
        ) as cluster:
            yield cluster


def test_other_processes_give_what_this_one_gives(make_task):
    task = make_task(error_compensation=True)
    here = outcomes(task, jobs=1)
    assert here == [evaluate(task, item) for item in CONFIGURATIONS]
    assert outcomes(task, jobs=2) == here


def test_a_cluster_gives_what_this_process_gives(make_task, cluster):
    task = make_task(error_compensation=True)
    assert outcomes(task, scheduler=cluster.scheduler_address) == outcomes(task, jobs=1)


def test_nothing_is_lost_when_a_worker_is_killed_in_the_middle(
    digits_graph, calibration, few, cluster, tmp_path
):
    from distributed import Client

    options = SearchOptions(
        bits=(2, 3, 4, 6, 8), trials=20, generation=5, seed=3, constraints=Constraints(2, "int8")
    )
    arguments = (digits_graph, calibration, few, options)
    alone = search(*arguments, jobs=1)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        before = client.run(os.getpid)
    killed = []

    def kill(what, done, total, note=""):
        if what == "search" and done == 8 and not killed:
            killed.append(next(iter(before.values())))
            os.kill(killed[0], signal.SIGKILL)

    journal = tmp_path / "journal"
    together = search(*arguments, scheduler=cluster.scheduler_address, journal=journal, progress=kill)
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        after = client.run(os.getpid)
    assert killed
    assert killed[0] not in after.values()
    assert together.to_json() == alone.to_json()
    assert together.pick() == alone.pick()
    lines = journal.read_text().splitlines()[1:]
    assert len(lines) == len(set(lines)) == len(alone.candidates) == 20
