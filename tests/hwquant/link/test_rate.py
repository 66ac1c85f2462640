"""What an inference takes on a link; against what the driver sends, ``driver/test_connection`` holds it."""

import pytest

from hwquant.boards.board import load_board
from hwquant.link.rate import link_time


def test_the_link_and_the_core_share_the_time():
    found = link_time((1024, 128), (1, 128), baud=1_000_000, latency=0.0)
    assert found.requests == 70
    assert found.bytes == 1025 * 16 + 1 + 70 * 2 * 9
    assert found.frames_per_second(0.01) == pytest.approx(1 / (found.seconds + 0.01))
    assert found.share(found.seconds) == 0.5


def test_every_board_that_comes_along_has_a_latency():
    assert load_board("generic").latency_ms == 1.0
