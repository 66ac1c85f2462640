"""Where items are evaluated, such as candidates of a search: here, on this machine's cores, or on a Dask cluster.

Each yields outcomes as they come; what a worker had in hand when it died is evaluated again by another. No process on
this machine outlives the one that evaluates, however that ends; what a Dask cluster has begun goes on there.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from hwquant.errors import HwquantError, MissingPackage
from hwquant.packages import load_package

Item = TypeVar("Item", contravariant=True)
Result = TypeVar("Result", covariant=True)
CONNECT_SECONDS = 30
_ATTEMPTS = 3
"""How often an item is sent again when all workers that had it, or the data, are lost."""


class Workers(Protocol[Item, Result]):
    """A function that evaluates items, such as configurations, and yields (index, outcome) in any order."""

    def __call__(self, items: Sequence[Item], /) -> Iterator[tuple[int, Result]]:
        """Evaluate items.

        Yields
        ------
        index : int
            Which of the items it is.
        outcome : object
            What the task says of it.
        """


def open_workers(
    task: Callable[[Item], Result], jobs: int | None, scheduler: str | None
) -> AbstractContextManager[Workers[Item, Result]]:
    """Open workers for a task; they are closed with the ``with`` block.

    Parameters
    ----------
    task : callable
        What evaluates one item, such as :class:`hwquant.search.evaluate.Task`; it is sent to each worker once.
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
def _here(task: Callable[[Item], Result]) -> Iterator[Workers[Item, Result]]:
    def run(items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        for index, item in enumerate(items):
            yield index, task(item)

    yield run


_task: Callable[[Any], Any] | None = None
"""The task of a worker process."""


def _start(task: Callable[[Any], Any]) -> None:
    global _task
    _task = task
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        raise RuntimeError("a worker process has no parent")
    wait([parent.sentinel])
    os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that begin in here never see Ctrl-C, though it reaches the whole group: the parent ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _evaluate_here(item: Any) -> Any:
    if _task is None:
        raise RuntimeError("a worker process was not given its task")
    return _task(item)


@contextmanager
def _processes(task: Callable[[Item], Result], jobs: int) -> Iterator[Workers[Item, Result]]:
    pool, others = ProcessPoolExecutor(jobs, get_context("spawn"), _start, (task,)), set(active_children())

    def run(items: Sequence[Item]) -> Iterator[tuple[int, Result]]:
        with _without_interrupts():
            futures = {pool.submit(_evaluate_here, item): index for index, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise HwquantError(
                "a worker process died: out of memory, perhaps, or it was started from a script without "
                'if __name__ == "__main__"; what was evaluated is kept, go on with fewer jobs'
            ) from error

    try:
        yield run
    except BaseException:  # Ctrl-C above all: nobody wants what they have in hand
        for worker in set(active_children()) - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _cluster(task: Callable[[Item], Result], scheduler: str) -> Iterator[Workers[Item, Result]]:
    distributed: Any = load_package("distributed", "distributed", "search", "work on a Dask cluster")
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


def _evaluated(task: Callable[[Item], Result], item: Item) -> Result:
    return task(item)


class _Cluster:
    """A Dask cluster. The task is sent to every worker once, and again only if all that had it are gone."""

    def __init__(self, client: Any, task: Callable[[Any], Any]) -> None:
        self._client, self._task, self._data = client, task, None

    def __call__(self, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        pending = dict(enumerate(items))
        for _ in range(_ATTEMPTS):
            for index, outcome in self._attempt(pending):
                del pending[index]
                yield index, outcome
            if not pending:
                return
            self._data = None
        raise HwquantError(
            f"the Dask workers died {_ATTEMPTS} times over the same items: out of memory, perhaps; what was "
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

    def _attempt(self, pending: dict[int, Any]) -> Iterator[tuple[int, Any]]:
        """Outcomes until all are known or lost with their workers."""
        from concurrent.futures import CancelledError

        from distributed import CancelledError as DaskCancelledError
        from distributed import as_completed as dask_as_completed
        from distributed.scheduler import KilledWorker

        if self._data is None:
            self._data = self._send()
        futures = {
            self._client.submit(_evaluated, self._data, item, pure=False): index
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
