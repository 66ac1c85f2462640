"""How far something is that takes long: what the functions that take long tell, and who shows it listens to."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A function that is told how far something is, now and then; ``hwquant.cli`` shows it as a bar."""

    def __call__(self, what: str, done: int, total: int, note: str = "", /) -> object:
        """Take notice of how far something is; what is returned is ignored.

        Parameters
        ----------
        what : str
            What is being done; when it changes, something new has begun.
        done : int
            Steps that are done.
        total : int
            Steps in all; 0 where nobody knows.
        note : str, default ""
            What is shown beside it, such as the best result so far.
        """
