"""A record of what a stream's sender does, for testbenches in Python."""

from __future__ import annotations

import numpy as np

from hwquant.program.layout import integers_to_words
from hwquant.sim.trace import Offers


class Recorder:
    """The entries of :class:`~hwquant.sim.trace.Offers`, as they come about.

    Attributes
    ----------
    moved : int
        Number of words that were taken.
    """

    def __init__(self) -> None:
        self.moved = 0  # words that were taken
        self._rows: list[list[int]] = []  # payload, first, end, taken

    def see(self, cycle: int, payload: int, taken: bool) -> None:
        """Note that a word is offered in a cycle; where nothing is, there is nothing to note.

        Parameters
        ----------
        cycle : int
            Number of the cycle.
        payload : int
            The word, with the mark of the last word above its lanes.
        taken : bool
            Whether the word is accepted in this cycle.
        """
        row = self._rows[-1] if self._rows else None
        if row is not None and not row[3] and row[0] == payload and row[2] == cycle - 1:
            row[2:] = cycle, taken
        else:
            self._rows.append([payload, cycle, cycle, taken])
        self.moved += taken

    def clear(self) -> None:
        """Forget everything."""
        self.moved = 0
        self._rows.clear()

    def offers(self, lanes: int, bits: int) -> Offers:
        """Convert what was seen to arrays.

        Parameters
        ----------
        lanes : int
            Lanes of a word.
        bits : int
            Bits of a lane.

        Returns
        -------
        Offers
            An entry for each word that was offered.
        """
        return offers(self._rows, lanes, bits)


def offers(rows: list[list[int]], lanes: int, bits: int) -> Offers:
    """Convert rows to arrays.

    Parameters
    ----------
    rows : list of list of int
        Payload, first cycle, last cycle, and whether it was taken, of each word that was offered.
    lanes : int
        Lanes of a word.
    bits : int
        Bits of a lane.

    Returns
    -------
    Offers
        An entry for each row.
    """
    payloads = [row[0] for row in rows]
    first, end, taken = np.array([row[1:] for row in rows], np.int64).reshape(-1, 3).T
    return Offers(
        words=integers_to_words(payloads, lanes, bits),
        last=np.array([payload >> (lanes * bits) & 1 for payload in payloads], bool),
        first=first,
        end=end,
        taken=taken.astype(bool),
    )
