"""Where candidates are evaluated: in this process, on its machine's cores, or on a Dask cluster.

Each yields outcomes as they come; what a worker had in hand when it died is evaluated again by another.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import get_context
from typing import Any, Protocol

from hwquant.errors import HwquantError, MissingPackage
from hwquant.packages import load_package
from hwquant.search.evaluate import Outcome, Task, evaluate
from hwquant.search.space import Configuration

CONNECT_SECONDS = 30
_ATTEMPTS = 3
"""How often a candidate is sent again when all workers that had it, or the data, are lost."""


class Workers(Protocol):
    """A function that evaluates configurations, and yields (index, outcome) in any order."""

    def __call__(self, configurations: Sequence[Configuration], /) -> Iterator[tuple[int, Outcome]]:
        """Evaluate configurations.

        Yields
        ------
        index : int
            Which of the configurations it is.
        outcome : Outcome
            What is known about it.
        """


def open_workers(task: Task, jobs: int | None, scheduler: str | None) -> AbstractContextManager[Workers]:
    """Open workers for a task; they are closed with the ``with`` block.

    Parameters
    ----------
    task : Task
        What candidates are evaluated with.
    jobs : int or None
        Processes on this machine; None starts one a core, and with 1 this process evaluates.
    scheduler : str or None
        Address of a Dask scheduler, whose workers evaluate instead.

    Raises
    ------
    HwquantError
        ``jobs`` is less than 1, or there is no scheduler at the address.
    MissingPackage
        A package that a Dask cluster needs is not installed.
    """
    if scheduler is not None:
        return _cluster(task, scheduler)
    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs < 1:
        raise HwquantError(f"jobs must be at least 1, not {jobs}")
    return _here(task) if jobs == 1 else _processes(task, jobs)


@contextmanager
def _here(task: Task) -> Iterator[Workers]:
    def run(configurations: Sequence[Configuration]) -> Iterator[tuple[int, Outcome]]:
        for index, configuration in enumerate(configurations):
            yield index, evaluate(task, configuration)

    yield run


_task: Task | None = None
"""The task of a worker process."""


def _start(task: Task) -> None:
    global _task
    _task = task


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that begin in here never see Ctrl-C, though it reaches the whole group: the parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _evaluate_here(configuration: Configuration) -> Outcome:
    if _task is None:
        raise RuntimeError("a worker process was not given its task")
    return evaluate(_task, configuration)


@contextmanager
def _processes(task: Task, jobs: int) -> Iterator[Workers]:
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (task,))

    def run(configurations: Sequence[Configuration]) -> Iterator[tuple[int, Outcome]]:
        with _without_interrupts():
            futures = {pool.submit(_evaluate_here, item): index for index, item in enumerate(configurations)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise HwquantError(
                "a worker process died: out of memory, perhaps, or the search was started from a script without "
                'if __name__ == "__main__"; what was evaluated is kept, go on with fewer jobs'
            ) from error

    try:
        yield run
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cluster(task: Task, scheduler: str) -> Iterator[Workers]:
    distributed: Any = load_package("distributed", "distributed", "search", "a search on a Dask cluster")
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise HwquantError(
            f"there is no Dask scheduler at {scheduler!r} ({error}); start one with: dask scheduler"
        ) from error
    try:
        yield _Cluster(client, task)
    finally:
        client.close()


class _Cluster:
    """A Dask cluster. The task is sent to every worker once, and again only if all that had it are gone."""

    def __init__(self, client: Any, task: Task) -> None:
        self._client, self._task, self._data = client, task, None

    def __call__(self, configurations: Sequence[Configuration]) -> Iterator[tuple[int, Outcome]]:
        pending = dict(enumerate(configurations))
        for _ in range(_ATTEMPTS):
            for index, outcome in self._attempt(pending):
                del pending[index]
                yield index, outcome
            if not pending:
                return
            self._data = None
        raise HwquantError(
            f"the Dask workers died {_ATTEMPTS} times over the same candidates: out of memory, perhaps; what was "
            "evaluated is kept"
        )

    def _send(self) -> Any:
        """The task on every worker."""
        try:
            return self._client.scatter(self._task, broadcast=True, hash=False, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            address = self._client.scheduler.address
            raise HwquantError(
                f"the Dask scheduler at {address!r} has no workers; start some with: dask worker {address}"
            ) from error

    def _attempt(self, pending: dict[int, Configuration]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes until all are known or lost with their workers."""
        from concurrent.futures import CancelledError

        from distributed import CancelledError as DaskCancelledError
        from distributed import as_completed as dask_as_completed
        from distributed.scheduler import KilledWorker

        if self._data is None:
            self._data = self._send()
        futures = {
            self._client.submit(evaluate, self._data, item, pure=False): index
            for index, item in pending.items()
        }
        for future in dask_as_completed(list(futures), loop=self._client.loop):
            try:
                outcome = future.result()
            except (CancelledError, DaskCancelledError, KilledWorker):
                continue
            except ImportError as error:
                raise MissingPackage(
                    f"a Dask worker lacks a package ({error}); install this hwquant on every worker",
                    package=error.name or "",
                    extra="search",
                ) from error
            yield futures[future], outcome
