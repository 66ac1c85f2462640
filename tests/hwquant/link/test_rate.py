"""What an inference takes on a link; against what the driver sends, ``driver/test_connection`` holds it."""

import pytest

from hwquant.boards.board import load_board
from hwquant.link.protocol import LARGE, SMALL
from hwquant.link.rate import Line, link_time

FRAMING = 10


def test_the_bytes_are_those_of_the_packets():
    found = link_time((1024, 128), (1, 128), Line.serial(1_000_000, 0.0, LARGE))
    assert found.requests == 69 + 1
    assert found.bytes == 1025 * 16 + 1 + 70 * 2 * FRAMING
    assert found.to_board == found.period(0.0) == pytest.approx((1024 * 16 + 1 + 70 * FRAMING) / 1e5)
    assert found.from_board == pytest.approx((16 + 70 * FRAMING) / 1e5)
    small = link_time((1024, 128), (1, 128), Line.serial(1_000_000, 0.0, SMALL))
    assert small.requests == 147 + 1


def test_a_register_that_is_read_behind_a_result_is_a_request_more():
    line = Line.serial(1_000_000, 0.0, LARGE)
    without, found = (link_time((4, 64), (1, 64), line, count) for count in (0, 1))
    assert (found.requests, found.bytes) == (without.requests + 1, without.bytes + 2 * FRAMING + 1 + 4)
    assert found.results == without.results


def test_a_window_of_requests_shares_a_latency():
    found = link_time((4, 64), (1, 64), Line.serial(12_000_000, 1e-3, LARGE))
    assert found.requests == 2
    assert found.period(0.0) == 2 * 1e-3 / 8


def test_the_next_frame_comes_while_the_core_computes_as_far_as_the_window_goes():
    line = Line.serial(1_000_000, 0.0, LARGE)
    found = link_time((1024, 128), (1, 128), line)
    window, read = 7 * (FRAMING + 240) / 1e5, (FRAMING + 16) / 1e5
    assert (found.ahead, found.results) == pytest.approx((window, read))
    assert found.frames_per_second(window - read) == pytest.approx(1 / found.to_board)
    assert found.frames_per_second(window - read + 0.01) == pytest.approx(1 / (found.to_board + 0.01))
    assert found.share(window - read) == pytest.approx(1 - (window - read) / found.to_board)
    assert link_time((2, 64), (1, 64), line).ahead == pytest.approx((2 * 8 + 2 * FRAMING + 1) / 1e5), (
        "a frame ahead"
    )


def test_a_large_result_is_waited_for():
    found = link_time((1, 64), (1000, 64), Line.serial(1_000_000, 0.0, LARGE))
    assert found.period(0.5) == pytest.approx(found.from_board + 0.5)


def test_boards_have_the_rate_that_their_converter_and_their_clock_allow():
    assert load_board("generic").latency_ms == 1.0
    board = load_board("ulx3s-85f")
    assert [board.rate(clock) for clock in (100e6, 25e6, 10e6)] == [3_000_000, 3_000_000, 1_000_000]
    assert (board.window, load_board("icebreaker").window) == (LARGE, SMALL)


def test_a_cable_of_usb_carries_what_its_specification_says():
    """USB 2.0, table 5-9: at full speed at most 19 packets of 64 bytes in a millisecond, 107 of one byte."""
    line = Line.usb(0.0, LARGE)
    assert line.bytes_per_second / 1000 // line.sent(64) == 19
    assert line.bytes_per_second / 1000 // line.sent(1) == 107
    assert line.answered([63]) == 63 + 13
    assert line.answered([64]) == 64 + 2 * 13, "a full packet is followed by an empty one"
    assert line.answered([10, 10]) == 2 * (10 + 13), "each answer is a packet"


def test_a_cable_is_busy_in_both_directions_and_with_questions_in_vain():
    line = Line.usb(0.0, LARGE)
    found = link_time((1024, 24), (1, 128), line)
    to_board, answers = 14 * FRAMING + 3072 + 1, [FRAMING] * 13 + [FRAMING + 16]
    packets = -(-to_board // 64)
    whole = to_board + 13 * packets + sum(answers) + 13 * 14 + 8 * (packets - 14)
    assert found.requests == 14
    assert found.busy == pytest.approx(whole / 1.5e6)
    assert found.frames_per_second(5e-4) == pytest.approx(1 / found.busy)
    assert found.frames_per_second(5e-4) > 300
    slow = link_time((1024, 24), (1, 128), Line.usb(4e-3, LARGE))
    assert slow.frames_per_second(5e-4) == pytest.approx(1 / (4e-3 * 14 / 8))


def test_datagrams_take_their_headers_and_the_board_a_byte_a_cycle():
    line = Line.ethernet(50e6, 0.0, LARGE)
    assert line.bytes_per_second == 50e6
    assert Line.ethernet(200e6, 0.0, LARGE).bytes_per_second == 125e6
    found, plain = (link_time((1024, 24), (1, 128), item) for item in (line, Line(50e6, 0.0, LARGE)))
    assert found.bytes - plain.bytes == 2 * 14 * 66
    assert found.period(5e-4) == pytest.approx(5e-4 + found.to_board + found.results - found.ahead)
    assert (
        link_time((1024, 24), (1, 128), Line.ethernet(50e6, 2e-4, LARGE)).frames_per_second(50877 / 93.75e6)
        > 1500
    )
