"""How much to send in one packet, on a line whose noise nobody knows."""

from __future__ import annotations


class ChunkSize:
    """Number of words in the next request: halved after something was lost, else slowly more.

    A longer packet costs less framing, and is damaged more often; so the size follows the noise (additive
    increase, multiplicative decrease). It begins small: with one byte in a hundred changed, hardly one packet in
    forty of the largest arrives.

    Parameters
    ----------
    limit : int
        Number of words that fit into a packet.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = max(1.0, limit / 4)

    @property
    def words(self) -> int:
        """Number of words for the next request, 1 up to the limit."""
        return int(self._size)

    def learn(self, losses: int) -> None:
        """Adapt to what was lost since the latest response."""
        if losses:
            self._size = max(1.0, self._size / 2)
        else:
            self._size = min(float(self.limit), self._size + self.limit / 16)
