"""Coding of index planes: every coder gives them back, keeps the codes together, and refuses what is damaged."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_planes import KINDS, index_plane

from compdistort.codecs.vsq import index_coder
from compdistort.codecs.vsq.index_coder import BACKENDS, ENVELOPE_BYTES, decode_indices, encode_indices
from compdistort.errors import CodecRangeError, ConfigError

STOCK = ("jxl", "jpegls")


def _round_trip(indices, saturated, dither, backend, effort=3):
    stream = encode_indices(indices, saturated, dither, backend, effort)
    back = decode_indices(stream, indices.shape, saturated, dither, backend)
    np.testing.assert_array_equal(back, indices)
    assert back.dtype == np.uint16
    return stream


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (17, 1), (33, 40)])
def test_round_trips(backend, kind, shape):
    _round_trip(*index_plane(kind, shape), backend)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    backend=st.sampled_from(BACKENDS),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    low=st.integers(0, 65535),
    span=st.integers(0, 65535),
    share=st.sampled_from([0.0, 0.2, 1.0]),
    seed=st.integers(0, 9),
)
def test_any_indices(backend, shape, low, span, share, seed):
    rng = np.random.default_rng(seed)
    indices = rng.integers(low, min(low + span, 65534) + 1 if low < 65535 else 65536, shape)
    saturated = 65535
    indices[rng.random(shape) < share] = saturated
    _round_trip(indices, saturated, np.full(shape, 2**19, np.int32), backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_sixteen_bits_without_saturation(backend):
    indices = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    _round_trip(indices, -1, np.full(indices.shape, 2**19, np.int32), backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_types_and_strides(backend):
    indices, saturated, dither = index_plane("noisy", (20, 30))
    stream = encode_indices(indices, saturated, dither, backend, 3)
    for other in (np.asfortranarray(indices), indices.astype(np.int32), indices.astype(np.uint8)):
        assert encode_indices(other, saturated, dither, backend, 3) == stream


@pytest.mark.parametrize("backend", STOCK)
@pytest.mark.parametrize("span", [255, 256])
def test_one_byte_where_it_fits(backend, span, monkeypatch):
    """256 codes, that of saturated pixels included, are one byte; one more are two."""
    seen = []
    monkeypatch.setattr(index_coder, "_encode_stock", lambda plane, *_: seen.append(plane) or b"")
    indices = np.array([[900, 900 + span - 1], [901, 5000]], np.uint16)
    encode_indices(indices, 5000, np.zeros((2, 2), np.int32), backend, 3)
    assert seen[0].dtype == (np.uint8 if span == 255 else np.uint16)
    assert seen[0].tolist() == [[0, span - 1], [1, span]]


def test_far_code_costs_nothing():
    """Moved next to the others, the code of saturated pixels costs what they cost; a far one would cost much more."""
    indices, saturated, dither = index_plane("saturated", (128, 128))
    far = np.where(indices == saturated, 60000, indices).astype(np.uint16)
    near = len(encode_indices(indices, saturated, dither, "jpegls", 7))
    assert len(encode_indices(far, 60000, dither, "jpegls", 7)) == near
    assert len(imagecodecs.jpegls_encode(far)) > 1.2 * near


def test_archive_is_dither_aware():
    indices, saturated, dither = index_plane("noisy", (20, 30))
    stream = encode_indices(indices, saturated, dither, "archive", 7)
    assert stream == encode_indices(indices, saturated, dither, "dither-aware", 1)
    np.testing.assert_array_equal(decode_indices(stream, (20, 30), saturated, dither, "dither-aware"), indices)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_flipped_bit_and_every_cut_is_seen(backend):
    indices, saturated, dither = index_plane("saturated", (9, 8))
    stream = encode_indices(indices, saturated, dither, backend, 3)
    for place in range(8 * len(stream)):
        damaged = bytearray(stream)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CodecRangeError):
            decode_indices(bytes(damaged), (9, 8), saturated, dither, backend)
    for end in range(len(stream)):
        with pytest.raises(CodecRangeError):
            decode_indices(stream[:end], (9, 8), saturated, dither, backend)
    with pytest.raises(CodecRangeError):
        decode_indices(stream + b"\0", (9, 8), saturated, dither, backend)


def _sealed(number, any_saturated, low, high, body, shape=(4, 4)):
    """An envelope whose checksum holds, around anything."""
    front = struct.pack("<BBHH", number, any_saturated, low, high)
    return front + struct.pack("<I", zlib.crc32(struct.pack("<II", *shape) + front + body)) + body


@pytest.mark.parametrize(
    ("number", "backend", "encode"),
    [
        (1, "jxl", lambda a: imagecodecs.jpegxl_encode(a, lossless=True, effort=1)),
        (2, "jpegls", imagecodecs.jpegls_encode),
    ],
)
class TestHostileStreams:
    """The checksum holds, what is inside lies."""

    D = np.zeros((4, 4), np.int32)

    def _refused(self, stream, backend, saturated=99):
        with pytest.raises(CodecRangeError):
            decode_indices(stream, (4, 4), saturated, self.D, backend)

    def test_control(self, number, backend, encode):
        stream = _sealed(number, 0, 5, 9, encode(np.full((4, 4), 4, np.uint8)))
        assert (decode_indices(stream, (4, 4), 99, self.D, backend) == 9).all()

    def test_other_size(self, number, backend, encode):
        self._refused(_sealed(number, 0, 5, 9, encode(np.zeros((2000, 3000), np.uint8))), backend)
        self._refused(_sealed(number, 0, 5, 9, encode(np.zeros((4, 3), np.uint8))), backend)

    def test_other_type(self, number, backend, encode):
        self._refused(_sealed(number, 0, 5, 9, encode(np.zeros((4, 4), np.uint16))), backend)
        self._refused(_sealed(number, 0, 5, 9, encode(np.zeros((4, 4, 3), np.uint8))), backend)

    def test_code_above_the_largest(self, number, backend, encode):
        self._refused(_sealed(number, 0, 5, 9, encode(np.full((4, 4), 7, np.uint8))), backend)
        self._refused(_sealed(number, 1, 5, 9, encode(np.full((4, 4), 7, np.uint8))), backend)

    def test_saturation_that_is_not_told(self, number, backend, encode):
        self._refused(_sealed(number, 0, 5, 9, encode(np.full((4, 4), 5, np.uint8))), backend)

    def test_saturation_without_an_index(self, number, backend, encode):
        self._refused(_sealed(number, 1, 5, 9, encode(np.full((4, 4), 5, np.uint8))), backend, saturated=-1)

    def test_limits_turned_round(self, number, backend, encode):
        self._refused(_sealed(number, 0, 9, 5, encode(np.zeros((4, 4), np.uint8))), backend)

    def test_no_codestream(self, number, backend, encode):
        for body in (b"", b"nonsense", encode(np.zeros((4, 4), np.uint8))[:-2]):
            self._refused(_sealed(number, 0, 5, 9, bytes(body)), backend)


def test_dither_aware_stream_beside_its_limits():
    indices, saturated, dither = index_plane("noisy", (9, 8))
    body = encode_indices(indices, saturated, dither, "archive", 7)[ENVELOPE_BYTES:]
    with pytest.raises(CodecRangeError, match="do not lie in"):
        decode_indices(_sealed(3, 0, 0, 3, body, (9, 8)), (9, 8), saturated, dither, "archive")


def test_other_coder_shape_or_name():
    indices, saturated, dither = index_plane("noisy", (9, 8))
    for backend in BACKENDS:
        stream = encode_indices(indices, saturated, dither, backend, 3)
        other = "jpegls" if backend == "jxl" else "jxl"
        with pytest.raises(CodecRangeError, match="not of"):
            decode_indices(stream, (9, 8), saturated, dither, other)
        with pytest.raises(CodecRangeError):
            decode_indices(stream, (8, 9), saturated, dither.reshape(8, 9), backend)
    with pytest.raises(ConfigError, match="'zip' is unknown"):
        encode_indices(indices, saturated, dither, "zip", 3)
    with pytest.raises(ConfigError, match="'zip' is unknown"):
        decode_indices(b"", (9, 8), saturated, dither, "zip")


@pytest.mark.parametrize(
    "plane",
    [
        np.zeros((0, 4), np.uint16),
        np.zeros((2, 3, 4), np.uint16),
        np.zeros((4, 4)),
        np.array([[-1]]),
        np.array([[65536]]),
    ],
    ids=["empty", "volume", "float", "negative", "too large"],
)
def test_what_is_no_index_plane(plane):
    with pytest.raises(CodecRangeError):
        encode_indices(plane, -1, np.zeros(plane.shape, np.int32), "jpegls", 7)


def test_effort_and_dither():
    indices, saturated, dither = index_plane("noisy", (9, 8))
    for effort in (0, 10, 3.5):
        with pytest.raises(ConfigError, match="effort"):
            encode_indices(indices, saturated, dither, "jxl", effort)
    with pytest.raises(CodecRangeError, match="dither of shape"):
        encode_indices(indices, saturated, dither.T, "jxl", 3)
