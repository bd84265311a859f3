"""Features by blocks: the bits of the plain twins for any tiling, block height, order and choice of features."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.backend import get_backend
from compdistort.backend.base import WekaBank
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.emit import row_bytes
from compdistort.backend.compiled.source import Drawn, Pixels
from compdistort.backend.plain.convolve import separable_stack
from compdistort.backend.plain.weka import weka_stack
from compdistort.features import OPERATORS, FeatureSpec, build_bank
from compdistort.replicate import noise_tables
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion

DTYPES = (np.uint8, np.uint16, np.float32)
SMALL = (3, 5, 64)
"""A tile smaller than most images of these tests."""


def twin(image, bank):
    plain = weka_stack if isinstance(bank, WekaBank) else separable_stack
    return plain(image.astype(np.float32), bank)


def pixels(shape, dtype, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1e3, shape).astype(dtype) if dtype is np.float32 else rng.integers(0, 256, shape).astype(dtype)


def gather(blocks, image, tiles=None):
    """The wanted features of the whole image; NaN where no block came."""
    shape = (1, *image.shape)[-3:]
    out = np.full((len(blocks.wanted), *shape), np.nan, np.float32)
    for tile in blocks.tiles if tiles is None else tiles:
        fill(out, blocks, image, tile)
    return out.reshape(-1, *image.shape)


def fill(out, blocks, image, tile):
    source = Pixels(image) if isinstance(image, np.ndarray) else image
    for block in blocks.run(blocks.prepare(source), tile):
        n, entries = block.features.shape
        assert (n, entries % 512, block.x % 64) == (len(blocks.wanted), 0, 0)
        place = out[:, block.z, block.y : block.y + block.rows, block.x : block.x + block.columns]
        assert np.isnan(place).all(), "a pixel came twice"
        place[...] = block.planes
        block.planes[...] = 0
        assert not block.features.any(), "an entry that is no pixel is not 0"


def noise_of(kind, frame):
    """Tables of one sensor, of one with two halves, or of maps."""
    half = frame[1] // 2
    parts = tuple(
        SensorRegion(
            name=name, offset_dn=90.0 + gain, gain_e_per_dn=gain, read_noise_e=2.0, rows=(0, frame[0]), columns=of
        )
        for name, gain, of in (("a", 0.5, (0, half)), ("b", 2.5, (half, frame[1])))
    )
    draw = np.random.default_rng(8)
    maps = SensorMaps(
        gain_e_per_dn=draw.uniform(0.3, 3.0, frame), offset_dn=draw.uniform(90, 130, frame),
        read_noise_e=draw.uniform(0, 3, frame),
    )  # fmt: skip
    sensor = {
        "table": SensorModel.scalar(offset_dn=100, gain_e_per_dn=0.5, read_noise_e=2, bits=12),
        "regions": SensorModel(regions=parts, frame_shape=frame, bits=12),
        "maps": SensorModel(regions=parts, maps=maps, frame_shape=frame, bits=12),
    }[kind]
    return noise_tables(sensor)


def assert_same(bank, wanted, ours, theirs):
    bad = [bank.names[f] for f, a, b in zip(wanted, ours, theirs, strict=True) if a.tobytes() != b.tobytes()]
    assert bad == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("weka", (70, 200)),
        ("ilastik", (70, 200)),
        ("plain", (70, 200)),
        ("ilastik", (9, 40, 70)),
        ("plain", (9, 40, 70)),
    ],
)
def test_whole_sets_equal_their_twins_in_many_tiles_and_in_one(name, shape, dtype):
    image = pixels(shape, dtype)
    bank = build_bank(FeatureSpec(set=name), len(shape))
    theirs = twin(image, bank)
    for tile, block_pixels in ((SMALL, 1), ((64, 512, 512), 2048)):
        blocks = FeatureBlocks(bank, shape, block_pixels=block_pixels, tile=tile)
        assert_same(bank, blocks.wanted, gather(blocks, image), theirs)


columns = st.lists(
    st.tuples(st.sampled_from(OPERATORS), st.floats(0.25, 6.0, width=16)), min_size=1, max_size=6, unique=True
)
shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 150)), st.tuples(*[st.integers(1, 12)] * 2, st.integers(1, 80))
)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["plain", "ilastik"]), pairs=columns, shape=shapes, dtype=st.sampled_from(DTYPES),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 20), st.sampled_from([64, 128])), data=st.data(),
)  # fmt: skip
def test_any_wanted_pairs_in_any_tiling(name, pairs, shape, dtype, tile, data):
    bank = build_bank(FeatureSpec(set=name, pairs=tuple(pairs)), len(shape))
    wanted = data.draw(st.permutations(range(len(pairs))))[: data.draw(st.integers(1, len(pairs)))]
    image = pixels(shape, dtype, data.draw(st.integers(0, 2**32 - 1)))
    blocks = FeatureBlocks(bank, shape, wanted, data.draw(st.integers(1, 5000)), tile)
    assert_same(bank, wanted, gather(blocks, image), twin(image, bank)[wanted])


@settings(max_examples=60, deadline=None)
@given(
    sigmas=st.sampled_from([(1.0, 2.0, 4.0, 8.0, 16.0), (2.0, 4.0), (0.7, 1.4)]), dtype=st.sampled_from(DTYPES),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 150)), rows=st.integers(1, 40), data=st.data(),
)  # fmt: skip
def test_any_wanted_weka_planes_in_any_tiling(sigmas, dtype, shape, rows, data):
    bank = build_bank(FeatureSpec(set="weka", sigmas=sigmas), 2)
    wanted = data.draw(st.lists(st.integers(0, len(bank.names) - 1), min_size=1, max_size=8, unique=True))
    image = pixels(shape, dtype, data.draw(st.integers(0, 2**32 - 1)))
    blocks = FeatureBlocks(bank, shape, wanted, data.draw(st.integers(1, 3000)), (1, rows, 64))
    assert_same(bank, wanted, gather(blocks, image), twin(image, bank)[wanted])


@pytest.mark.parametrize("name", ["plain", "ilastik"])
@pytest.mark.parametrize("operators", [("GS",), ("LoG",), ("GGM",), ("DoG",), ("GS", "GGM"), ("LoG", "DoG")])
@pytest.mark.parametrize("shape", [(30, 90), (7, 20, 40)])
def test_every_operator_alone(name, operators, shape):
    image = pixels(shape, np.uint16)
    bank = build_bank(FeatureSpec(set=name, sigmas=(0.7, 1.0, 3.5)), len(shape))
    wanted = [i for i, (operator, _) in enumerate(bank.columns) if operator in operators]
    assert_same(bank, wanted, gather(FeatureBlocks(bank, shape, wanted), image), twin(image, bank)[wanted])


def test_each_weka_plane_alone():
    image = pixels((20, 30), np.uint16)
    bank = build_bank(FeatureSpec(set="weka", sigmas=(1.0, 2.0, 4.0)), 2)
    theirs = twin(image, bank)
    for plane in range(len(bank.names)):
        assert_same(bank, [plane], gather(FeatureBlocks(bank, image.shape, [plane]), image), theirs[[plane]])


@pytest.mark.parametrize(("name", "shape"), [("weka", (60, 200)), ("ilastik", (60, 200)), ("ilastik", (12, 30, 130))])
def test_two_threads_in_reverse_order_give_the_same_bits(name, shape):
    image = pixels(shape, np.uint16)
    bank = build_bank(FeatureSpec(set=name), len(shape))
    blocks = FeatureBlocks(bank, shape, block_pixels=512, tile=(4, 20, 64))
    out = np.full((len(bank.names), *(1, *shape)[-3:]), np.nan, np.float32)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tile: fill(out, blocks, image, tile), reversed(blocks.tiles)))
    assert_same(bank, blocks.wanted, out.reshape(-1, *shape), gather(blocks, image))


@pytest.mark.parametrize("kind", ["table", "regions", "maps"])
@pytest.mark.parametrize("shape", [(70, 150), (9, 40, 70)])
def test_a_replicate_drawn_in_any_tiling_is_the_whole_one(kind, shape):
    """Noise depends on place and number alone: features of pieces drawn with their halo are those of the whole."""
    raw = np.random.default_rng(4).integers(90, 2000, shape).astype(np.uint16)
    noise = noise_of(kind, shape[-2:])
    bank = build_bank(FeatureSpec(set="ilastik", sigmas=(0.7, 3.5)), len(shape))
    drawn = get_backend("numpy").replicate(raw, noise, (5, 6), range(7, 8))[0]
    for tile in (SMALL, (64, 512, 512)):
        blocks = FeatureBlocks(bank, shape, tile=tile)
        out = np.full((len(bank.names), *(1, *shape)[-3:]), np.nan, np.float32)
        for each in blocks.tiles:
            fill(out, blocks, Drawn(raw, noise, (5, 6), 7), each)
        assert_same(bank, blocks.wanted, out.reshape(-1, *shape), twin(drawn, bank))
    other = gather(blocks, get_backend("numpy").replicate(raw, noise, (5, 6), range(8, 9))[0])
    assert other.tobytes() != out.tobytes()  # the negative control: another number is another replicate


@pytest.mark.parametrize("top", [255, 65535])
def test_pixels_of_all_types_give_the_same_bits(top):
    shape = (5, 20, 70)
    image = np.random.default_rng(3).integers(0, top + 1, shape)
    bank = build_bank(FeatureSpec(set="ilastik", sigmas=(1.0, 3.5)), 3)
    blocks = FeatureBlocks(bank, shape)
    kinds = (np.uint16, np.float32) + ((np.uint8,) if top == 255 else ())
    first, *rest = (gather(blocks, image.astype(kind)) for kind in kinds)
    for each in rest:
        assert_same(bank, blocks.wanted, each, first)


def test_a_wrong_tap_is_noticed():
    """Negative control: the last bit of one tap shows, in the columns of its scale alone."""
    image = pixels((30, 70), np.uint16)
    bank = build_bank(FeatureSpec(set="ilastik", sigmas=(1.0, 3.5)), 2)
    theirs = twin(image, bank)
    before = bank.scales[1].presmooth
    before[1] = np.nextafter(before[1], np.float32(1))
    ours = gather(FeatureBlocks(bank, image.shape), image)
    differs = {at for (_, at), a, b in zip(bank.columns, ours, theirs, strict=True) if a.tobytes() != b.tobytes()}
    assert differs == {1}


def test_memory_does_not_grow_with_the_image():
    """The scratch memory of an inner tile is that of the tile, and less when less is wanted."""
    spec = FeatureSpec(set="ilastik")
    sizes = []
    for shape in ((300, 3000, 3000), (600, 6000, 6000)):
        blocks = FeatureBlocks(build_bank(spec, 3, shape), shape)
        inner = next(t for t in blocks.tiles if min(t.z0, t.y0, t.x0) > 0)
        sizes.append(blocks.scratch_bytes(inner, np.uint16))
    one = FeatureBlocks(build_bank(spec, 3, shape), shape, [0])
    assert sizes[0] == sizes[1]
    assert one.scratch_bytes(inner, np.uint16) < sizes[0] / 4


@pytest.mark.parametrize("name", ["weka", "ilastik", "fast"])
def test_blocks_that_cannot_be_are_refused(name):
    bank = build_bank(FeatureSpec(set=name), 2)
    with pytest.raises(ValueError, match="wanted twice"):
        FeatureBlocks(bank, (50, 60), (0, 1, 0))
    with pytest.raises(ValueError, match="multiples of 64"):
        FeatureBlocks(bank, (50, 60), tile=(1, 50, 100))


def test_another_shape_is_refused():
    blocks = FeatureBlocks(build_bank(FeatureSpec(set="ilastik", sigmas=(1.0,)), 2), (20, 30))
    with pytest.raises(ValueError, match="laid out for"):
        blocks.prepare(Pixels(np.zeros((30, 20), np.uint16)))


@pytest.mark.parametrize("unit", [1, 2, 4])
def test_rows_are_an_odd_number_of_cache_lines_with_room_for_a_vector(unit):
    for n in range(1, 300):
        size = row_bytes(n, unit)
        assert size % 128 == 64
        assert size >= (n + 16) * unit


@pytest.mark.parametrize("name", ["weka", "ilastik", "fast", "planar"])
def test_features_of_some_pixels_are_those_of_the_stack(name):
    shape = (70, 90) if name == "weka" else (24, 60, 70)
    image = np.random.default_rng(3).integers(100, 900, shape).astype(np.uint16)
    set_name, planar = ("ilastik", (1.6,)) if name == "planar" else (name, ())
    sigmas = () if name == "weka" else (0.7, 1.6) if name != "fast" else (1.6, 3.5)
    bank = build_bank(FeatureSpec(set=set_name, sigmas=sigmas, planar=planar), len(shape), shape)
    places = np.flatnonzero(np.random.default_rng(4).random(image.size) < 0.01)
    fast, slow = get_backend("cpu", threads=2), get_backend("numpy")
    planes = fast.feature_stack(image, bank).reshape(len(bank.names), -1)
    for engine in (fast, slow):
        np.testing.assert_array_equal(engine.feature_rows(image, bank, places), planes[:, places].T)
        assert engine.feature_rows(image, bank, places[:0]).shape == (0, len(bank.names))
        for wrong in (places[::-1], np.array([0, 0]), np.array([image.size]), np.array([-1])):
            with pytest.raises(ValueError, match="strictly rising"):
                engine.feature_rows(image, bank, wrong)
