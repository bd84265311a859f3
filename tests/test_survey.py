"""What a study knows of a raw volume before it starts: the same of a volume on disk as of one in memory."""

from contextlib import closing
from functools import partial
from math import prod

import numpy as np
import pytest
import tifffile
from disk_reader import Reader
from hypothesis import given, settings
from hypothesis import strategies as st

from compdistort.backend import get_backend
from compdistort.errors import CalibrationError
from compdistort.features import FeatureSpec
from compdistort.grey_levels import GreyLevels
from compdistort.io.planes import all_planes, as_reader, grey_levels, read_box, sampled_planes
from compdistort.pipeline.half_grid_effect import fast_notice
from compdistort.pipeline.inputs import read_sensor
from compdistort.pipeline.raw_volume import DiskVolume
from compdistort.replicate import law_distance, noise_notices, noise_tables, saturation_report
from compdistort.replicate.diagnostics import COARSE_DN, ROUNDING_DN2, _distance
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion
from compdistort.sensor.single_image import estimate_noise
from compdistort.study_file import parse_config

SHAPE = (11, 96, 100)
FRAME = SHAPE[1:]


def scalar(**changes):
    values = {"offset_dn": 100.0, "gain_e_per_dn": 2.0, "read_noise_e": 3.0}
    return SensorModel.scalar(**(values | changes))


def taps(offset=100.0):
    parts = (
        SensorRegion(name="a", offset_dn=offset, gain_e_per_dn=2.0, read_noise_e=3.0, rows=(0, 96), columns=(0, 40)),
        SensorRegion(
            name="b", offset_dn=offset, gain_e_per_dn=2.1, read_noise_e=4.0, rows=(0, 96), columns=(40, 100),
            saturation_dn=1200.0,
        ),
    )  # fmt: skip
    return SensorModel(regions=parts, frame_shape=FRAME)


def maps(offset=100.0):
    draw = np.random.default_rng(4)
    each = SensorMaps(
        gain_e_per_dn=draw.uniform(1.9, 2.1, FRAME),
        offset_dn=draw.uniform(offset - 2, offset + 2, FRAME),
        read_noise_e=draw.uniform(2, 4, FRAME),
    )
    return SensorModel(regions=taps().regions, maps=each, frame_shape=FRAME)


SENSORS = {"scalar": scalar, "taps": taps, "maps": maps}


@pytest.fixture(scope="module")
def volume():
    """A smooth scene that the scalar sensor took, brighter from plane to plane."""
    draw = np.random.default_rng(3)
    z, y, x = np.indices(SHAPE)
    electrons = 400 + 1800 * (1 + 0.1 * z) * (0.5 - 0.5 * np.cos(2 * np.pi * x / 90) * np.cos(2 * np.pi * y / 120))
    return np.rint(100 + 0.5 * (draw.poisson(electrons) + draw.normal(0, 3, SHAPE))).astype(np.uint16)


@given(shape=st.tuples(st.integers(1, 700), st.integers(1, 300), st.integers(1, 300)), most=st.integers(1, 30_000_000))
@settings(max_examples=300, deadline=None)
def test_sampled_planes_are_spread_and_few(shape, most):
    chosen = sampled_planes(shape, most)
    plane = prod(shape[1:])
    if prod(shape) <= most:
        assert chosen == range(shape[0])
    assert len(chosen) >= 1
    assert (len(chosen) - 1) * plane <= most
    assert len(chosen) >= min(shape[0], most // plane // 2)
    before, after = chosen[0], shape[0] - 1 - chosen[-1]
    assert 0 <= before <= after <= before + 1
    assert after < chosen.step


def test_a_paper_sized_volume_is_sampled_and_a_plane_is_not():
    assert len(sampled_planes((550, 2048, 2048))) == 16
    assert sampled_planes((40_000, 40_000)) == range(1)
    assert sampled_planes((16, 2048, 2048)) == range(16)


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 9), st.integers(1, 9)),
    ends=st.tuples(*[st.tuples(st.floats(0, 1), st.floats(0, 1))] * 3),
)
@settings(max_examples=100, deadline=None)
def test_a_box_is_cut_out_of_a_few_planes_at_a_time(shape, ends):
    image = np.arange(prod(shape), dtype=np.uint16).reshape(shape)
    spans = [(int(min(pair) * (n - 1)), int(max(pair) * (n - 1)) + 1) for pair, n in zip(ends, shape, strict=True)]
    reader = Reader(image, most=8)
    box = read_box(reader, spans)
    np.testing.assert_array_equal(box, image[tuple(slice(*span) for span in spans)])
    assert box.flags.c_contiguous
    assert reader.planes_asked == list(range(*spans[0]))
    np.testing.assert_array_equal(read_box(as_reader(image), spans), box)
    np.testing.assert_array_equal(np.stack(list(all_planes(Reader(image, most=8)))), image)


@given(values=st.lists(st.integers(0, 65535), min_size=1, max_size=60), level=st.floats(-5, 70_000))
@settings(max_examples=200, deadline=None)
def test_counts_of_grey_levels_answer_as_the_sorted_pixels_do(values, level):
    image = np.array(values, np.uint16)[np.newaxis]
    levels = grey_levels(image)
    assert levels.below(level) == sum(value < level for value in values)
    assert levels.at_least(level) == sum(value >= level for value in values)
    ranks = np.random.default_rng(1).integers(0, len(values), 20)
    assert levels.at_ranks(ranks).tolist() == np.sort(values)[ranks].tolist()
    assert levels.at_ranks(ranks[:0]).size == 0
    with pytest.raises(IndexError, match="of"):
        levels.at_ranks(np.array([len(values)]))


def test_known_grey_levels_are_not_counted_again(volume):
    reader = Reader(volume)
    assert grey_levels(reader, grey_levels(volume)).counts.sum() == volume.size
    assert reader.asked == []


@pytest.mark.parametrize("options", [{}, {"offset_dn": 100.0, "read_noise_e": 3.0}, {"bits": 12}])
def test_the_estimate_of_a_volume_on_disk_is_that_in_memory(volume, options):
    reader = Reader(volume, most=8)
    found = estimate_noise(reader, **options)
    assert found == estimate_noise(volume, **options)
    assert found == estimate_noise(Reader(volume), levels=grey_levels(volume), **options)
    other = volume.copy()
    other[5] = np.rint(other[5] * 0.9)
    assert found != estimate_noise(other, **options)


def test_the_estimate_of_a_large_volume_looks_at_the_sampled_planes(volume, monkeypatch):
    """The same grey levels in other places change nothing outside these planes, but something inside."""
    few = partial(sampled_planes, most=4 * prod(FRAME))
    assert list(few(SHAPE)) == [0, 3, 6, 9]
    monkeypatch.setattr("compdistort.sensor.single_image.sampled_planes", few)
    reader = Reader(volume)
    found = estimate_noise(reader, offset_dn=100.0, levels=grey_levels(volume))
    assert found == estimate_noise(volume, offset_dn=100.0)
    assert reader.planes_asked == [0, 3, 5, 6, 9]  # 5 is the middle one, for the whiteness

    def with_moved(plane):
        image = volume.copy()
        image[plane] = np.roll(image[plane], 7, axis=1)
        return estimate_noise(image, offset_dn=100.0)

    assert with_moved(1) == found
    assert with_moved(3) != found


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((3, 64, 64), 7, np.uint16), "more than half of the pixels are at 7 DN"),
        (np.tile(np.arange(200, 456, dtype=np.uint16), (2, 256, 1)), "no noise"),
        (np.full((3, 8, 8), 3, np.uint16) + np.arange(8, dtype=np.uint16), "pixels are too few"),
    ],
)
def test_volumes_on_disk_that_no_camera_took_are_refused(image, message):
    for given_as in (image, Reader(image, most=8)):
        with pytest.raises(CalibrationError, match=rf"x\.tif: .*{message}"):
            estimate_noise(given_as, name="x.tif")


def _said(model, image, levels=None):
    try:
        return model.check_image(image, "v.tif", levels)
    except CalibrationError as error:
        return str(error)


@pytest.mark.parametrize("kind", SENSORS)
@pytest.mark.parametrize("what", ["good", "bright", "dark", "quiet", "range"])
def test_the_check_of_a_volume_on_disk_says_what_that_in_memory_says(volume, kind, what):
    model, words = SENSORS[kind](), ""
    image = volume
    if what == "bright":
        image, words = np.where(volume > 1150, 1200, volume).astype(np.uint16), "pixels are saturated"
        model = scalar(saturation_dn=1200) if kind == "scalar" else model
    elif what == "dark":
        model, words = (
            SENSORS[kind](offset_dn=1150.0) if kind == "scalar" else SENSORS[kind](1150.0),
            "below the sensor's",
        )
    elif what == "quiet":
        image, words = np.repeat(np.repeat(volume[:, ::2, ::2], 2, 1), 2, 2), "v.tif"
        image[:, ::2] = np.rint(image[:, ::2].mean(axis=2, keepdims=True))
    elif what == "range":
        image, words = volume.copy(), "outside the sensor's 0 to 2047 DN"
        image[7, 50, 50] = 3000
        model = SensorModel(regions=model.regions, maps=model.maps, frame_shape=model.frame_shape, bits=11)
    found = _said(model, image)
    assert found == _said(model, Reader(image, most=8)) == _said(model, Reader(image), grey_levels(image))
    assert words in str(found)
    if what == "good":
        assert not isinstance(found, str)


@given(seed=st.integers(0, 10_000), shift=st.integers(-30, 30))
@settings(max_examples=100, deadline=None)
def test_too_dark_is_what_has_its_median_below_the_offset(seed, shift):
    """An odd number of pixels, so that the median is one of them; the slow way subtracts the offset of every pixel."""
    draw = np.random.default_rng(seed)
    image = (100 + shift + draw.integers(-20, 21, (5, 5, 7))).astype(np.uint16)
    offset = draw.uniform(90, 110, (5, 7))
    flat = {"gain_e_per_dn": np.full((5, 7), 1e-6), "read_noise_e": np.zeros((5, 7))}
    region = SensorRegion(name="a", offset_dn=99.5, gain_e_per_dn=2.0, read_noise_e=3.0, rows=(0, 5), columns=(0, 7))
    placed = SensorModel(regions=(region,), maps=SensorMaps(offset_dn=offset, **flat), frame_shape=(5, 7))
    for model, zero in ((scalar(offset_dn=99.5), 99.5), (placed, offset)):
        expected = np.median(image - zero) < 0
        assert ("below the sensor's offset" in str(_said(model, Reader(image)))) == expected


def _tables(sensor, law="poisson-gaussian"):
    return noise_tables(sensor, law)


@pytest.mark.parametrize("law", ["poisson-gaussian", "gaussian"])
@pytest.mark.parametrize("kind", SENSORS)
def test_notices_of_a_volume_on_disk_are_those_in_memory(volume, kind, law):
    image = volume.copy()
    image[2, :30] = 60
    sensor = scalar(saturation_dn=1200) if kind == "scalar" else SENSORS[kind]()
    found = noise_notices(image, sensor, _tables(sensor, law))
    assert found == noise_notices(Reader(image, most=8), sensor, _tables(sensor, law))
    known = grey_levels(image)
    assert found == noise_notices(Reader(image), sensor, _tables(sensor, law), known)
    assert any("no noise" in text for text in found)
    assert any("total-variation" in text for text in found) == (law == "gaussian" or kind == "maps")
    variance = sensor.variance_dn2(image)
    assert f"{saturation_report(image, sensor).fraction:.2%} of the pixels are within" in found[0]
    assert any(f"{(variance == 0).mean():.1%} of the pixels lie so far" in text for text in found)
    assert any(f"{(variance + ROUNDING_DN2 < COARSE_DN**2).mean():.1%} of the pixels have" in text for text in found)


def test_the_distance_of_the_law_is_that_of_sorted_pixels(volume):
    """The slow way: every pixel in electrons, sorted, at equal steps of rank."""
    image = volume.copy()
    image[0, :40] = 90
    sensor = scalar(offset_dn=101.3)
    electrons = np.sort(((image - 101.3) * 2.0).ravel())
    electrons = electrons[electrons >= 0]
    ranks = np.linspace(0, electrons.size - 1, 31).astype(int)
    slow = [_distance(e, 101.3, 0.5, 3.0, 65535, "gaussian") for e in electrons[ranks]]
    for given_as in (image, Reader(image, most=8)):
        found = law_distance(given_as, sensor, "gaussian", samples=31)
        assert found.n_pixels == 31
        assert found.mean == pytest.approx(np.mean(slow), rel=1e-9)
        assert found.worst == pytest.approx(max(slow), rel=1e-9)
        assert found.worst_electrons == pytest.approx(electrons[ranks][int(np.argmax(slow))])
    same_everywhere = SensorMaps(
        gain_e_per_dn=np.full(FRAME, 2.0), offset_dn=np.full(FRAME, 101.3), read_noise_e=np.full(FRAME, 3.0)
    )
    placed = SensorModel(regions=taps().regions, maps=same_everywhere, frame_shape=FRAME)
    by_place = law_distance(Reader(image), placed, "gaussian", samples=31)
    assert by_place == law_distance(image, placed, "gaussian", samples=31)
    assert by_place.mean == pytest.approx(np.mean(slow), rel=1e-9)


def test_how_far_fast_is_from_plain_is_told_of_the_middle(monkeypatch):
    draw = np.random.default_rng(5)
    image = draw.poisson(400 + 300 * np.sin(np.indices((26, 60, 40))[0] / 4)).astype(np.uint16)
    spec, engine = FeatureSpec(set="fast", pairs=(("GS", 3.5), ("LoG", 3.5))), get_backend("numba")
    sensor = scalar(offset_dn=0.0)
    monkeypatch.setattr("compdistort.pipeline.half_grid_effect._MIDDLE", {2: 30, 3: 22})
    (text,) = fast_notice(image, spec, engine, noise_tables(sensor))
    reader = Reader(image, most=8)
    assert fast_notice(reader, spec, engine, noise_tables(sensor)) == (text,)
    assert reader.planes_asked == list(range(2, 24))
    middle = image[2:24, 19:41, 9:31].copy()
    assert fast_notice(middle, spec, engine, noise_tables(sensor)) == (text,)
    assert fast_notice(np.full_like(image, 400), spec, engine, noise_tables(sensor)) != (text,)
    assert fast_notice(image[3].copy(), spec, engine, noise_tables(sensor))
    plain = FeatureSpec(set="plain", pairs=(("GS", 3.5),))
    untouched = Reader(image)
    assert fast_notice(untouched, plain, engine, noise_tables(sensor)) == ()
    assert untouched.asked == []


def test_the_sensor_of_a_study_is_that_in_memory(volume, tmp_path):
    path = tmp_path / "raw.tif"
    tifffile.imwrite(path, volume)
    data = {
        "schema_version": 1,
        "input": {"raw": str(path)},
        "calibration": {"estimate": True},
        "segmenter": {"model": "none.npz"},
        "codec": [{"id": "identity"}],
    }
    config = parse_config(data, "study.toml")
    typed = {**data, "calibration": {"offset_dn": 1150, "gain_e_per_dn": 2.0, "read_noise_e": 3.0}}
    with closing(DiskVolume(path)) as on_disk:
        levels = GreyLevels.of_planes([volume])
        assert read_sensor(config, volume) == read_sensor(config, on_disk) == read_sensor(config, on_disk, levels)
        with pytest.raises(CalibrationError, match=r"raw\.tif: its median grey level lies below"):
            read_sensor(parse_config(typed, "study.toml"), on_disk)
