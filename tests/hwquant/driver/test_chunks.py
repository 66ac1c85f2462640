"""The size of chunks follows the noise."""

import numpy as np

from hwquant.driver.chunks import ChunkSize


def test_a_quiet_line_soon_gets_the_largest_chunks():
    size = ChunkSize(31)
    assert size.words == 7
    for _ in range(12):
        size.learn(0)
    for _ in range(100):
        assert size.words == 31
        size.learn(0)


def test_noise_halves_and_silence_grows():
    size = ChunkSize(32)
    sizes = []
    for retries in (1, 3, 0, 0, 1):
        size.learn(retries)
        sizes.append(size.words)
    assert sizes == [4, 2, 4, 6, 3]


def test_sizes_stay_within_one_word_and_the_limit():
    rng = np.random.default_rng(0)
    size = ChunkSize(7)
    for chance in (0.0, 0.5, 1.0, 0.1, 0.0):
        for _ in range(100):
            size.learn(int(rng.random() < chance))
            assert 1 <= size.words <= 7
    assert size.words == 7
