"""Every coder x every type x planes and volumes: within its word, or the named error; nothing in silence."""

from dataclasses import replace

import coder_cases as cases
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from compdistort.codecs import CODECS, Lerc
from compdistort.codecs.array_codec import ArrayCodec
from compdistort.codecs.coder import decoded, encoded, lossless, round_trip
from compdistort.codecs.library_codec import LibraryCodec
from compdistort.errors import CodecRangeError


def test_every_coder_of_the_register_is_in_the_matrix():
    registered = {cls for cls in CODECS.values() if issubclass(cls, ArrayCodec)}
    assert registered == {type(codec) for codec in cases.CODECS}
    assert len({coder.name for coder, _ in cases.CODERS}) >= len(registered)


@pytest.mark.parametrize("case", cases.CASES)
@pytest.mark.parametrize(("coder", "level"), cases.CODERS, ids=cases.IDS)
def test_within_its_word_or_refused(coder, level, case):
    array = cases.CASES[case]
    if not cases.takes(coder, array):

        def encode(array, level):
            raise AssertionError("it was encoded")

        with pytest.raises(CodecRangeError, match=f"^coder '{coder.name}' takes "):
            round_trip(replace(coder, encode=encode), array, level)
        return
    back, n_bytes = round_trip(coder, array, level)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert 0 < n_bytes == len(encoded(coder, array, level))
    error = np.abs(back.astype(np.float64) - array)
    if coder.bound is not None:
        assert error.max() <= coder.bound(level)
        assert (coder.bound(level) == 0) == (back.tobytes() == array.tobytes())
    else:
        assert cases.rms(back, array) <= cases.rms_limit(coder, level, array)


def test_what_is_taken():
    """How much of the matrix is an image and how much an error, so that no coder slips out of it."""
    taken = {
        (coder.name, kind.split(" ", 1)[0] if kind[0] != "1" else "12 bit", array.ndim)
        for coder, _ in cases.CODERS
        for kind, array in cases.CASES.items()
        if cases.takes(coder, array)
    }
    names = {coder.name for coder, _ in cases.CODERS}
    assert {name for name, _, _ in taken} == names
    for kind in ("u8", "12 bit", "u16", "i16", "f32"):
        assert {name for name, each, ndim in taken if each == kind and ndim == 2}
        assert {name for name, each, ndim in taken if each == kind and ndim == 3}
    assert {name for name, _, ndim in taken if ndim == 3} == {
        *("sperr", "sperr-rate", "sz3", "zfp", "zfp-rate", "zstd", "blosc2", "rice", "aec")
    }


def test_every_knob_is_heard():
    """A coder that ignores its level, as some do for grey images, gives one size at both ends of the knob."""
    for codec in cases.CODECS:
        if not isinstance(codec, LibraryCodec):
            continue
        array = next(array for array in reversed(cases.CASES.values()) if cases.takes(codec.coder, array))
        ends = (codec.knob.low, codec.knob.high) if codec.codec_id != "zfp-rate" else (1, codec.knob.high)
        sizes = [len(encoded(codec.coder, array, end)) for end in ends]
        assert (sizes[0] > 1.2 * sizes[1]) if codec.knob.rising else (sizes[1] > 1.2 * sizes[0]), codec


# ---- any array ----

PROMISING = [(coder, level) for coder, level in cases.CODERS if coder.bound is not None]


@pytest.mark.parametrize(("coder", "level"), PROMISING, ids=[f"{coder.name}-{level:g}" for coder, level in PROMISING])
@given(data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_array_comes_back_within_the_bound(coder, level, data):
    """Sides from 1 on and values of the whole type: the worst that an image can be."""
    dtype = np.dtype(data.draw(st.sampled_from(coder.dtypes)))
    sides = st.lists(st.integers(1, 24), min_size=2, max_size=max(coder.ndims))
    top = coder.largest if coder.largest is not None else None
    if dtype.kind == "f":
        values = st.floats(0, 65535, width=32)
    else:
        values = st.integers(np.iinfo(dtype).min, top or np.iinfo(dtype).max)
    array = data.draw(arrays(dtype, tuple(data.draw(sides)), elements=values))
    back, _ = round_trip(coder, array, level)
    assert np.abs(back.astype(np.float64) - array).max() <= coder.bound(level)
    np.testing.assert_array_equal(decoded(coder, encoded(coder, array, level), array.shape, array.dtype), back)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (1, 1, 1), (1, 9, 10), (4, 1, 6), (4, 5, 1)], ids=str)
@pytest.mark.parametrize(("coder", "level"), cases.CODERS, ids=cases.IDS)
def test_sides_of_one(coder, level, shape):
    """Stacks of one plane, planes of one row: some coders turn or drop such axes, and SPERR ended the process."""
    for array in cases.arrays(shape).values():
        if not cases.takes(coder, array):
            continue
        if coder.name == "fpack-hcompress":
            with pytest.raises(CodecRangeError, match=r"^coder 'fpack-hcompress' failed on float32"):
                round_trip(coder, array, level)
            continue
        back, _ = round_trip(coder, array, level)
        if coder.bound is not None:
            assert np.abs(back.astype(np.float64) - array).max() <= coder.bound(level)
        else:
            assert cases.rms(back, array) <= 0.05 * cases.scale_of(coder, array)


# ---- coders that fail in silence, planted ----


def planted(coder, fault):
    """The coder with a fault in what it decodes."""

    def decode(stream, shape, dtype):
        return fault(np.asarray(coder.decode(stream, shape, dtype)).copy())

    return replace(coder, decode=decode)


FAULTS = {
    "clips": (lambda back: np.minimum(back, back.max() - back.dtype.type(20)), "is off by|changed the array"),
    "turns its axes": (lambda back: back.transpose(*range(1, back.ndim), 0), "decoded .* of shape"),
    "turns a square": (lambda back: back[..., ::-1], "is off by|changed the array"),
    "loses a row": (lambda back: back[1:], "decoded .* of shape"),
    "gives another type": (lambda back: back.astype(np.float64), "decoded float64"),
    "gives big-endian words": (lambda back: back.astype(back.dtype.newbyteorder(">")), "decoded "),
    "gives a constant": (lambda back: np.full_like(back, back.mean()), "is off by|changed the array"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("coder", "level"), PROMISING, ids=[f"{coder.name}-{level:g}" for coder, level in PROMISING])
def test_planted_faults_are_caught(coder, level, fault):
    array = next(array for array in reversed(cases.CASES.values()) if cases.takes(coder, array))
    if fault == "gives big-endian words" and array.dtype.itemsize == 1:
        pytest.fail("no coder of bytes alone promises anything")
    change, words = FAULTS[fault]
    with pytest.raises(CodecRangeError, match=f"^coder '{coder.name}' .*({words})"):
        round_trip(planted(coder, change), array, level)


@pytest.mark.parametrize(
    ("coder", "level"),
    [(coder, level) for coder, level in cases.CODERS if coder.bound is None],
    ids=[f"{coder.name}-{level:g}" for coder, level in cases.CODERS if coder.bound is None],
)
def test_limits_without_a_promise_are_no_empty_words(coder, level):
    """The negative control of the rms limits: an image that is dark by a twentieth, or mirrored, is beyond them."""
    array = next(array for array in reversed(cases.CASES.values()) if cases.takes(coder, array))
    back, _ = round_trip(coder, array, level)
    limit = cases.rms_limit(coder, level, array)
    for wrong in (back[..., ::-1], np.zeros_like(back)):
        assert cases.rms(wrong, array) > limit


def test_a_bound_of_zero_is_equality_of_bytes():
    """Minus zero is not zero, and a coder of floats that loses the sign is not lossless."""
    coder = replace(
        Lerc(max_error=0).coder,
        encode=lambda array, level: array.tobytes(),
        decode=lambda stream, shape, dtype: np.abs(np.frombuffer(stream, dtype).reshape(shape)),
        bound=lossless,
    )
    round_trip(coder, np.array([[0.0, 1.0]], np.float32), 0)
    with pytest.raises(CodecRangeError, match="is called lossless but changed the array"):
        round_trip(coder, np.array([[-0.0, 1.0]], np.float32), 0)


def test_numbers_that_are_none_are_refused():
    for coder, level in cases.CODERS:
        if "float32" not in coder.dtypes:
            continue
        for value in (np.nan, np.inf, -np.inf):
            array = np.ones((8, 8), np.float32)
            array[3, 4] = value
            with pytest.raises(CodecRangeError, match=f"coder '{coder.name}' takes finite values only"):
                round_trip(coder, array, level)


# ---- why the matrix refuses what it refuses: the library, as it is ----


def test_a_third_axis_of_png_is_colour():
    stack = cases.scene((3, 40, 56), 255).astype(np.uint8)
    with pytest.raises((imagecodecs.PngError, ValueError)):
        imagecodecs.png_encode(stack)
    colours = np.ascontiguousarray(np.moveaxis(stack, 0, -1))
    assert imagecodecs.png_decode(imagecodecs.png_encode(colours)).shape == (40, 56, 3)
