"""A regression on a Dask cluster, one of whose workers is killed: the same outcomes as here."""

import os
import signal
import warnings

import pytest

from hwquant.regress import regress
from hwquant.regress.campaign import load_campaign
from hwquant.regress.reports import summary

TEXT = """
arrays = ["4x4"]
offsets = ["edge", "sum"]
stalls = ["none", "both"]
samples = 1
networks = [{random = 2, first = 1}]
"""


@pytest.mark.nightly
def test_nothing_is_lost_when_a_worker_is_killed(tmp_path):
    from distributed import Client, LocalCluster

    (tmp_path / "small.toml").write_text(TEXT)
    cases = list(load_campaign(tmp_path / "small.toml").cases())
    alone = regress(cases, jobs=1)
    killed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about ports, and about what a killed worker leaves
        options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "host": "127.0.0.1"}
        with LocalCluster(**options, dashboard_address=":0") as cluster:
            with Client(cluster.scheduler_address, set_as_default=False) as client:
                workers = client.run(os.getpid)

            def kill(name, outcome):
                if not killed:
                    killed.append(next(iter(workers.values())))
                    os.kill(killed[0], signal.SIGKILL)

            together = regress(cases, scheduler=cluster.scheduler_address, watch=kill)
            with Client(cluster.scheduler_address, set_as_default=False) as client:
                after = client.run(os.getpid)
    assert killed
    assert killed[0] not in after.values()
    assert summary(together) == summary(alone)
    assert set(summary(alone)["statuses"]) <= {"passed", "refused"}
    assert summary(alone)["statuses"]["passed"] >= 4
