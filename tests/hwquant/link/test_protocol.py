"""Packets: what is encoded is found again, and nothing else is."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import HwquantError, Unsupported
from hwquant.link.protocol import (
    CRC,
    CRC_BYTES,
    ESCAPE,
    FLAG,
    HEADER_BYTES,
    LARGE,
    SMALL,
    Decoder,
    Window,
    checksum,
    encode,
    word_bytes,
)

BODIES = st.lists(
    st.binary(min_size=HEADER_BYTES, max_size=40)
    | st.lists(st.sampled_from([FLAG, ESCAPE, 0]), min_size=HEADER_BYTES, max_size=9).map(bytes),
    max_size=4,
)


def decode(data):
    return list(Decoder().feed(data))


def test_a_packet_byte_by_byte():
    """RFC 1662 and CRC-32 by hand: flag, escaped bytes, CRC with the low byte first, two flags."""
    crc = zlib.crc32(b"\x11\x7e\x7d").to_bytes(4, "little")
    assert crc == b"\xac\x49\xad\x7d"
    assert encode(b"\x11\x7e\x7d") == b"\x7e\x11\x7d\x5e\x7d\x5d\xac\x49\xad\x7d\x5d\x7e\x7e"


@given(st.binary(max_size=60))
def test_the_checksum_is_that_of_the_parameters_that_the_gateware_has(body):
    assert checksum(body) == CRC.compute(body)


@given(BODIES)
def test_what_is_encoded_is_decoded(bodies):
    assert decode(b"".join(map(encode, bodies))) == bodies


@given(BODIES, st.integers(0, 1 << 32))
def test_the_boundaries_of_reads_do_not_matter(bodies, seed):
    rng = np.random.default_rng(seed)
    data = b"".join(map(encode, bodies))
    decoder, found = Decoder(), []
    while data:
        size = int(rng.integers(1, 7))
        found += decoder.feed(data[:size])
        data = data[size:]
    assert found == bodies


@given(st.binary(min_size=HEADER_BYTES, max_size=30), st.data())
def test_one_changed_lost_or_repeated_byte_never_makes_another_packet(body, data):
    packet = encode(body)
    place = data.draw(st.integers(0, len(packet) - 1))
    kind = data.draw(st.sampled_from(["change", "lose", "repeat"]))
    change = data.draw(st.integers(1, 255))
    middle = {
        "change": bytes([packet[place] ^ change]),
        "lose": b"",
        "repeat": packet[place : place + 1] * 2,
    }[kind]
    spoiled = packet[:place] + middle + packet[place + 1 :]
    found = decode(bytes([FLAG]) + spoiled + bytes([FLAG]) + encode(b"next"))
    assert found[-1] == b"next"
    assert set(found[:-1]) <= {body, None}


def test_escapes_at_the_end_and_short_packets_are_damaged():
    flag, escape = bytes([FLAG]), bytes([ESCAPE])
    assert decode(flag + b"abcdef" + escape + flag) == [None]
    assert decode(flag + b"ab" + flag) == [None]
    assert decode(encode(b"x")) == [None]
    assert decode(encode(b"xy")) == [b"xy"]
    assert decode(flag * 5) == []


def test_packets_and_words_have_their_sizes_in_bytes():
    for window in (LARGE, SMALL):  # a byte for the length
        assert 1 + HEADER_BYTES + window.payload + CRC_BYTES == window.packet_bytes
        assert Window.decode(window.encode()) == window
    assert [word_bytes(bits) for bits in (1, 8, 9, 24, 64)] == [1, 1, 2, 3, 8]


@pytest.mark.parametrize(
    ("packets", "size"), [(3, 128), (1, 128), (128, 128), (8, 16), (8, 512), (8, 100), (0, 64)]
)
def test_a_window_that_cannot_be_is_refused(packets, size):
    with pytest.raises(HwquantError, match=r"(packets|packet_bytes) of a window must be a power of two from"):
        Window(packets, size)


def test_a_word_that_does_not_fit_a_request_is_refused():
    assert SMALL.words(120) == 1
    assert LARGE.words(16) == 15
    with pytest.raises(
        Unsupported, match=r"a word of 121 bytes does not fit a request of the link, which has 120"
    ):
        SMALL.words(121)
