"""Philox4x32-10, keys and streams."""

import numpy as np
import pytest

from compdistort.errors import ConfigError
from compdistort.rng import MAX_SEED, Stream, derive_key, philox4x32, uniform_words

# Random123, tests/kat_vectors, lines "philox4x32 10": counter, key, answer.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    assert tuple(int(word) for word in philox4x32(counter, key)) == answer


def test_arrays_are_broadcast_and_equal_single_counters():
    y = np.arange(3)[:, None]
    words = philox4x32((np.arange(4), y, 7, 2), (5, 6))
    assert all(word.shape == (3, 4) and word.dtype == np.uint32 for word in words)
    assert [int(word[2, 1]) for word in words] == [int(word) for word in philox4x32((1, 2, 7, 2), (5, 6))]


def test_a_key_is_the_first_two_words_of_the_stream_under_the_seed():
    seed, stream = 0x0123456789ABCDEF, 0x1_0000_0003
    words = philox4x32((3, 1, 0, 0), (0x89ABCDEF, 0x01234567))
    assert derive_key(seed, stream) == (int(words[0]), int(words[1]))


def test_streams_and_seeds_have_different_keys():
    keys = {derive_key(seed, stream) for seed in (0, 1, MAX_SEED) for stream in Stream}
    assert len(keys) == 3 * len(Stream)


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_a_seed_beyond_64_bits_is_refused(seed):
    with pytest.raises(ConfigError, match="64 bits"):
        derive_key(seed, Stream.NOISE)


def test_uniform_words_of_a_longer_draw_begin_like_a_shorter_one():
    key = derive_key(1, Stream.BOOTSTRAP)
    assert uniform_words(key, 7, draw=3).tolist() == uniform_words(key, 40, draw=3)[:7].tolist()
    assert uniform_words(key, 40, draw=3).tolist() != uniform_words(key, 40, draw=4).tolist()
    assert uniform_words(key, 0).size == 0


def test_uniform_words_of_many_draws_are_those_of_each():
    key = derive_key(1, Stream.BOOTSTRAP)
    many = uniform_words(key, 7, np.array([[0, 3], [1, 2**32 - 1]]))
    assert many.shape == (2, 2, 7)
    assert many[0, 1].tolist() == uniform_words(key, 7, 3).tolist()
    assert many[1, 1].tolist() == uniform_words(key, 7, 2**32 - 1).tolist()
