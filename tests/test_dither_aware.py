"""The dither-aware coder: tables of whole numbers, passes, compiled loops against their twins, ratios, damage."""

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from index_planes import KINDS, index_plane
from scipy.special import ndtr

from compdistort.backend.compiled import dither_counts as compiled
from compdistort.backend.plain import dither_counts as plain
from compdistort.backend.plain.dither_sites import CLASSES, near_places, site_places
from compdistort.codecs.vsq.dither import dither as philox_dither
from compdistort.codecs.vsq.dither_aware import _plane, compiled_loops, decode_plane, encode_plane, plain_loops
from compdistort.codecs.vsq.dither_model import FITTED, PassModel, fit_pass, unpack_model
from compdistort.codecs.vsq.dither_passes import passes
from compdistort.codecs.vsq.noise import NoiseLaw
from compdistort.codecs.vsq.normal_cells import (
    PER_OCTAVE,
    ROW_OF_ONE,
    ROWS,
    WIDER,
    WIDEST,
    cell_bits,
    cell_table,
    row_of,
)
from compdistort.codecs.vsq.quantiser import Quantiser
from compdistort.codecs.vsq.tiles import tiles
from compdistort.errors import CodecRangeError
from compdistort.synthetic.codec_scenes import codec_scene

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 37), (41, 1), (2, 2), (2, 9), (3, 3), (5, 4), (7, 33), (16, 16), (40, 29)]
shapes = st.tuples(st.integers(1, 24), st.integers(1, 24))


# ---- tables ----


def test_table_is_the_same_everywhere():
    """Made of whole numbers: another machine, NumPy or Python gives these bytes, or streams would not decode."""
    table = cell_table()
    made = table.cumulative.astype("<u2").tobytes() + table.reach.astype("<i8").tobytes()
    assert hashlib.blake2b(made, digest_size=16).hexdigest() == "883877cfe09072c2cdd498568bcd92f2"


def test_table_holds_the_normal_law():
    table = cell_table()
    phases = (np.arange(32) + 0.5) / 32
    for line, reach in enumerate(table.reach.tolist()):
        s = 2 ** ((line % ROWS - ROW_OF_ONE) / PER_OCTAVE)
        symbols = 2 * reach + 3
        sums = table.cumulative[line, :, : symbols + 1].astype(int)
        assert (np.diff(sums, axis=1) >= 1).all()
        assert (sums[:, 0] == 0).all()
        assert (sums[:, -1] == 1 << 15).all()
        edges = (np.arange(-reach, reach + 2)[None] - phases[:, None]) / s
        below = ndtr(edges) if line < ROWS else (7 * ndtr(edges) + ndtr(edges / 2)) / 8
        # One part of 2^15 a symbol is given away so that none is impossible; the rest is rounding.
        assert np.abs(sums[:, 1:-1] / 2**15 - below).max() <= (symbols + 1) / 2**15
        assert reach >= 8 * s


def test_wider_errors_take_rows_of_half_the_width():
    for number in range(WIDEST + 1):
        for family in (0, 1):
            line, shift = row_of(number, family)
            assert line // ROWS == family
            assert line % ROWS + PER_OCTAVE * shift == number
            assert shift == 0 or number >= ROWS
            assert 0 <= shift <= 10


def test_bits_are_those_of_the_table():
    bits = cell_bits().T.reshape(2 * ROWS + WIDER, 32, -1)
    np.testing.assert_allclose((2.0 ** -bits[ROW_OF_ONE]).sum(axis=1), 1, atol=0.01)
    assert bits[ROW_OF_ONE, 16].argmin() in (33, 34, 35)
    assert bits[0].min() < 0.01
    assert bits[ROWS - 1].min() > 3


# ---- passes ----


@pytest.mark.parametrize("shape", [*SHAPES, (64, 65)])
def test_every_pixel_comes_once_and_knows_its_neighbours(shape):
    """Every neighbour that a prediction takes is coded before: those in pairs in earlier passes, others in this one."""
    order = {(0, 0): -1}
    for sites in passes(shape):
        before = len(order)
        for row, column in site_places(sites):
            here = (row * sites.stride, column * sites.stride)
            assert here not in order
            for place in near_places(sites, row, column):
                assert order[divmod(place, shape[1])] < before
            order[here] = len(order)
        for k, (dy, dx) in enumerate(sites.steps.tolist()):
            for row, column in site_places(sites):
                _check_known(sites, order, before, (row, column), (dy, dx), k < sites.n_pairs)
    assert len(order) == shape[0] * shape[1]


def _check_known(sites, order, before, place, step, paired):
    y, x = place[0] + step[0], place[1] + step[1]
    inside = 0 <= y <= sites.last_row and 0 <= x <= sites.last_column
    if inside:
        own = order[place[0] * sites.stride, place[1] * sites.stride]
        assert order[y * sites.stride, x * sites.stride] < (before if paired else own)


def test_passes_on_a_whole_number_of_octaves():
    found = [(sites.stride, sites.axial, sites.n_sites) for sites in passes((8, 8))]
    assert found == [(4, 0, 1), (4, 1, 2), (2, 0, 4), (2, 1, 8), (1, 0, 16), (1, 1, 32)]


# ---- loops against their twins ----


@pytest.mark.parametrize(
    ("kind", "shape"), [*itertools.product(KINDS, SHAPES), ("noisy", (46, 45)), ("wide", (46, 45)), ("dark", (46, 45))]
)
def test_streams_are_those_of_the_twin(kind, shape):
    """Shapes of one row, one column and a few pixels; the largest has a pass with weights of its own."""
    indices, saturated, dither = index_plane(kind, shape)
    stream = encode_plane(indices, saturated, dither)
    assert stream == encode_plane(indices, saturated, dither, plain_loops())
    marked = saturated if (indices == saturated).any() else -1
    for loops in (None, plain_loops()):
        np.testing.assert_array_equal(decode_plane(stream, shape, marked, dither, loops), indices)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("kind", ["noisy", "saturated", "wide"])
@pytest.mark.parametrize("shape", [(1, 70), (33, 46)])
def test_counts_are_those_of_the_twin(shape, kind, every):
    indices, saturated, dither = index_plane(kind, shape)
    plane = _plane(indices.astype(np.int32), dither, saturated)
    limits = np.array([60, 90, 150] + [1 << 62] * (CLASSES - 3), np.int64)
    for sites in passes(shape):
        weights = np.random.default_rng(1).integers(-20, 40, (CLASSES, len(sites.steps)))
        one, two = compiled.activities(plane, sites, every), plain.activities(plane, sites, every)
        np.testing.assert_array_equal(one, two)
        arguments = (plane, sites, every, limits)
        np.testing.assert_array_equal(compiled.normal_sums(*arguments), plain.normal_sums(*arguments))
        for one, two in zip(
            compiled.cell_counts(*arguments, weights, 33), plain.cell_counts(*arguments, weights, 33), strict=True
        ):
            np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(compiled.saturated_counts(plane, sites), plain.saturated_counts(plane, sites))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(shape=shapes, kind=st.sampled_from(KINDS), seed=st.integers(0, 99), step=st.sampled_from([0.05, 0.5, 2, 16]))
def test_round_trips(shape, kind, seed, step):
    indices, saturated, dither = index_plane(kind, shape, seed, step)
    marked = saturated if (indices == saturated).any() else -1
    back = decode_plane(encode_plane(indices, saturated, dither), shape, marked, dither)
    np.testing.assert_array_equal(back, indices)
    assert back.dtype == np.uint16


def test_long_carries():
    """Planes whose pixels are all but certain: the interval stays near its top end for many bytes."""
    for seed in range(6):
        indices, saturated, dither = index_plane("constant", (96, 96), seed)
        indices[np.random.default_rng(seed).random(indices.shape) < 0.002] += 900
        stream = encode_plane(indices, saturated, dither)
        np.testing.assert_array_equal(decode_plane(stream, indices.shape, -1, dither), indices)


def test_readonly_and_strided_arrays():
    indices, saturated, dither = index_plane("noisy", (30, 40))
    stream = encode_plane(indices, saturated, dither)
    dither.flags.writeable = False
    assert encode_plane(np.asfortranarray(indices), saturated, np.asfortranarray(dither)) == stream
    np.testing.assert_array_equal(decode_plane(stream, (30, 40), -1, dither), indices)


# ---- models ----


def test_models_are_stored_whole():
    indices, _saturated, dither = index_plane("noisy", (300, 301))
    plane = _plane(indices.astype(np.int32), dither, -1)
    for sites in passes(indices.shape):
        model = fit_pass(compiled_loops(), plane, sites)
        stream = b"front" + model.pack(sites) + b"behind"
        found, end = unpack_model(stream, 5, sites)
        assert (found.limits, found.errors, end) == (model.limits, model.errors, len(stream) - 6)
        np.testing.assert_array_equal(found.weights, model.weights)
        assert (model.for_loops().weights[: len(model.errors)].sum(axis=1) == 64).all()
        assert (len(model.limits) > 0) == (sites.n_sites >= 16384)


def test_damaged_models_are_refused():
    sites = passes((64, 64))[-1]
    assert sites.n_sites >= FITTED
    model = PassModel((5, 9), np.zeros((3, 15), np.int8), (1, 2, 3))
    good = model.pack(sites)
    unpack_model(good, 0, sites)
    rising = good[:1] + good[3:5] + good[1:3] + good[5:]
    for bad in (b"", good[:-1], b"\0" + good[1:], b"\x09" + good[1:], rising):
        with pytest.raises(CodecRangeError):
            unpack_model(bad, 0, sites)


def test_smooth_planes_are_predicted_better_than_by_the_mean():
    """Fitted weights code a textured plane in fewer bytes than the mean of the nearest neighbours does."""
    indices, saturated, dither = index_plane("noisy", (256, 256))
    fitted = len(encode_plane(indices, saturated, dither))
    plane = _plane(indices.astype(np.int32), dither, -1)
    loops = compiled_loops()
    every = passes(indices.shape)
    plain_model = [PassModel((), np.array([[32, *[0] * (len(s.steps) - 2)]], np.int8), (27,)) for s in every]
    out, coder = np.empty(8 * indices.size, np.uint8), np.array([0, 2**32 - 1, 0], np.int64)
    for sites, model in zip(every, plain_model, strict=True):
        loops.encode_pass(plane, sites, model.for_loops(), cell_table(), out, coder)
    assert fitted < 0.97 * int(coder[2])


# ---- what it is for ----

LEAST_RATIO = 10.5


@pytest.mark.parametrize("name", ["fluor", "phase", "stack"])
def test_ratio_at_two_sigma(name):
    """At D = 2 in chunks of 512 x 512, with 42 bytes of seed and checksums a chunk, 1 kB of header a file.

    Every fourth plane of the stack.
    """
    scene = codec_scene(name)
    law = NoiseLaw.from_sensor(scene.sensor)
    quantiser, raw = Quantiser(law, step=2.0), scene.raw
    planes = raw.reshape(-1, *raw.shape[-2:])[::4]
    n_bytes, unaware = 1000, 0.0
    for z, plane in enumerate(planes):
        for k, place in enumerate(tiles(plane.shape, 512)):
            indices = quantiser.quantise(plane[place], z, k)
            dither = quantiser.dither_of(indices.shape, z, k)
            stream = encode_plane(indices, quantiser.saturated, dither)
            n_bytes += len(stream) + 42
            if z == k == 0:
                np.testing.assert_array_equal(decode_plane(stream, indices.shape, -1, dither), indices)
                unaware = len(encode_plane(indices, quantiser.saturated, np.full_like(dither, 2**19))) / len(stream)
    assert planes.nbytes / n_bytes >= LEAST_RATIO
    assert unaware > 1.08  # the same coder without the dither: what it gains by knowing it


def test_saturated_areas_cost_next_to_nothing():
    indices, saturated, dither = index_plane("noisy", (256, 256))
    free = len(encode_plane(indices, saturated, dither))
    indices[:, 128:] = saturated
    half = len(encode_plane(indices, saturated, dither))
    assert half < 0.56 * free


def test_dither_makes_the_difference():
    """Negative control: with another dither than it was coded with, a plane does not come back."""
    indices, saturated, dither = index_plane("noisy", (64, 64))
    stream = encode_plane(indices, saturated, dither)
    other = index_plane("noisy", (64, 64), seed=1)[2]
    try:
        assert (decode_plane(stream, (64, 64), -1, other) != indices).any()
    except CodecRangeError:
        return


# ---- damage ----


def _outcome(stream, shape, saturated, dither, loops):
    try:
        return decode_plane(stream, shape, saturated, dither, loops).tolist()
    except CodecRangeError as error:
        return str(error)


@pytest.mark.parametrize("kind", ["noisy", "wide", "saturated"])
def test_hostile_streams_do_in_the_loops_what_they_do_in_the_twin(kind):
    """The twin cannot read beside an array: where the two agree, the loops do not either. 15 damaged streams each."""
    shape = (23, 27)
    indices, saturated, dither = index_plane(kind, shape)
    marked = saturated if (indices == saturated).any() else -1
    stream = encode_plane(indices, saturated, dither)
    rng = np.random.default_rng(7)
    outcomes = []
    for _ in range(15):
        damaged = bytearray(stream)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(0, len(damaged))] ^= 1 << rng.integers(0, 8)
        cut = rng.integers(0, len(damaged)) if rng.random() < 0.3 else len(damaged)
        bad = bytes(damaged[:cut])
        outcomes.append(_outcome(bad, shape, marked, dither, None))
        assert outcomes[-1] == _outcome(bad, shape, marked, dither, plain_loops())
    assert sum(isinstance(found, str) for found in outcomes) > 2


@settings(deadline=None, max_examples=150, derandomize=True)
@given(stream=st.binary(max_size=300), shape=shapes, saturated=st.sampled_from([-1, 0, 77, 65535]))
def test_any_bytes(stream, shape, saturated):
    dither = np.full(shape, 2**19, np.int32)
    assert _outcome(stream, shape, saturated, dither, None) == _outcome(stream, shape, saturated, dither, plain_loops())


@pytest.mark.parametrize("chance", [2**15, 40000, 65535])
def test_chances_above_one_are_refused(chance):
    """They would widen the interval of the range coder until it overflows: 35405 kept the decoder busy for ever."""
    indices, saturated, dither = index_plane("saturated", (40, 40))
    stream = bytearray(encode_plane(indices, saturated, dither))
    stream[10:12] = chance.to_bytes(2, "little")  # where all four neighbours are saturated
    for loops in (None, plain_loops()):
        with pytest.raises(CodecRangeError, match="chances of saturation"):
            decode_plane(bytes(stream), (40, 40), saturated, dither, loops)


@pytest.mark.parametrize("cut", [0, 1, 2, 20, -2, -1])
def test_cut_streams(cut):
    indices, saturated, dither = index_plane("noisy", (60, 60))
    stream = encode_plane(indices, saturated, dither)
    for bad in (stream[:cut], stream + b"\0"):
        with pytest.raises(CodecRangeError):
            decode_plane(bad, (60, 60), -1, dither)


def test_dither_of_another_shape():
    indices, saturated, dither = index_plane("noisy", (8, 9))
    stream = encode_plane(indices, saturated, dither)
    with pytest.raises(CodecRangeError, match="dither of shape"):
        decode_plane(stream, (9, 8), -1, dither)


GOLDEN = Path(__file__).parent / "golden" / "dither_aware.bin"


def test_committed_stream_decodes():
    """A stream that was written once: a change that decodes it to something else breaks every file."""
    dither = philox_dither(48 * 64, 5, 3).reshape(48, 64)
    for loops in (compiled_loops(), plain_loops()):
        indices = decode_plane(GOLDEN.read_bytes(), (48, 64), 42, dither, loops)
        digest = hashlib.blake2b(indices.astype("<u2").tobytes(), digest_size=16).hexdigest()
        assert digest == "4a3860e586ae00e50191c0351c913b6b"
