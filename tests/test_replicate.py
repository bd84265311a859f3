"""Replicates: tables, twins, invariance under crops and tiles, saturation, exact sums."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from golden import noise_tables as golden
from scipy import special, stats

from compdistort.backend import get_backend
from compdistort.backend.compiled import accumulate as compiled_accumulate
from compdistort.backend.compiled import noise as compiled_noise
from compdistort.backend.plain import accumulate as plain_accumulate
from compdistort.backend.plain import noise as plain_noise
from compdistort.errors import CalibrationError, ConfigError
from compdistort.replicate import (
    crop_tables,
    draw,
    law_distance,
    noise_notices,
    noise_tables,
    pixel_deviation,
    pixel_mean,
    pixel_sums,
    pixel_variance,
    saturation_report,
    tables_sha256,
)
from compdistort.replicate.law import exact_cdf, quantile_cubics
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion

KEY = derive_key(2022, Stream.NOISE)
SHAPE = (24, 37)


def scalar_sensor(**changes):
    values = {"offset_dn": 100.3, "gain_e_per_dn": 0.46, "read_noise_e": 1.6, "bits": 12}
    return SensorModel.scalar(**(values | changes))


def region_sensor():
    parts = (
        SensorRegion(name="a", offset_dn=90.0, gain_e_per_dn=0.5, read_noise_e=2.0, rows=(0, 24), columns=(0, 20)),
        SensorRegion(name="b", offset_dn=120.5, gain_e_per_dn=2.5, read_noise_e=9.0, rows=(0, 24), columns=(20, 37)),
    )
    return SensorModel(regions=parts, frame_shape=SHAPE, bits=12)


def map_sensor():
    rng = np.random.default_rng(8)
    maps = SensorMaps(
        gain_e_per_dn=rng.uniform(0.3, 3.0, SHAPE),
        offset_dn=rng.uniform(90, 130, SHAPE),
        read_noise_e=rng.uniform(0, 3, SHAPE) * (rng.random(SHAPE) > 0.1),
    )
    return SensorModel(regions=region_sensor().regions, maps=maps, frame_shape=SHAPE, bits=12)


SENSORS = {"scalar": scalar_sensor, "regions": region_sensor, "maps": map_sensor}


@pytest.fixture(params=[(s, law) for s in SENSORS for law in ("poisson-gaussian", "gaussian")], ids="-".join)
def tables(request):
    name, law = request.param
    return noise_tables(SENSORS[name](), law)


def all_levels(shape):
    """Grey levels from far below the offset to the top of 12 bits."""
    return (np.arange(np.prod(shape)) * 1237 % 4096).astype(np.uint16).reshape(shape)


# ---- tables


def test_quantile_cubics_are_the_normal_quantile():
    rng = np.random.default_rng(1)
    tail = np.arange(1, 4096)
    words = np.concatenate([rng.integers(0, 2**32, 200_000), tail, 2**32 - 1 - tail])
    z = plain_noise.normal_quantile(words.astype(np.uint32), quantile_cubics())
    expected = special.ndtri((words + 0.5) * 2.0**-32)
    assert np.abs(z - expected).max() < 1.5e-6  # float32 holds 6.2 sigma to 2.4e-7
    assert np.abs(z - expected)[np.abs(expected) < 2].max() < 6e-7
    ends = plain_noise.normal_quantile(np.array([0, 1, 2**32 - 1], np.uint32), quantile_cubics())
    assert ends[0] == ends[1] == -ends[2]


@pytest.mark.parametrize(("mu", "offset", "gain", "read"), [(0, 10.3, 0.5, 1.6), (0.7, 10, 9.3, 0.27), (60, 9.5, 2, 0)])
def test_exact_law_is_the_law_of_rounded_poisson_plus_normal(mu, offset, gain, read):
    """Summed over all counts, without the shortcut of the implementation."""
    first, cdf = exact_cdf(mu, offset, gain, read, 4095)
    values = np.arange(first, first + cdf.size)
    k = np.arange(300)
    below = special.ndtr(((values[:, None] + 0.5 - offset) / gain - k) / max(read, 1e-9))
    assert np.abs(cdf - below @ stats.poisson.pmf(k, mu)).max() < 1e-12
    assert first == 0 or cdf[0] < 1e-12


def test_drawn_exact_laws_have_the_right_mean_and_variance():
    """From the tables themselves, so without sampling error; rounding adds 1/12 DN^2."""
    sensor = scalar_sensor()
    made = noise_tables(sensor)
    bits = made.level.view(np.int32)[0]
    exact = np.flatnonzero(bits[:, 3] >= 0)
    assert exact[0] == 101
    assert exact[-1] == int(100.3 + 100 / 0.46)
    for level in exact[[3, 40, -1]]:
        first, start = bits[level, :2]
        end = start + int(np.argmax(made.cdf[start:] == plain_noise.SENTINEL)) + 1
        pmf = np.diff(np.append(0, made.cdf[start:end].astype(np.float64) + (made.cdf[start:end] == 2**32 - 1))) / 2**32
        values = np.arange(first, first + pmf.size)
        mean = (pmf * values).sum()
        assert mean == pytest.approx(level, abs=2e-3)
        variance = (pmf * (values - mean) ** 2).sum()
        assert variance == pytest.approx(sensor.variance_dn2(np.array(float(level))) + 1 / 12, rel=2e-4)


def test_dark_pixels_keep_their_value_as_mean_and_the_total_variance_is_clipped():
    sensor = scalar_sensor()
    level = noise_tables(sensor).level[0]
    below = np.arange(101)
    linear = (1.6 / 0.46) ** 2 + (below - 100.3) / 0.46
    assert level[below, 0].tolist() == below.tolist()
    assert level[below, 1] == pytest.approx(np.sqrt(np.maximum(linear, 0)), rel=1e-6)
    assert not level[below, 2].any()
    assert (level[:90, 1] == 0).all()


def test_gaussian_law_has_no_skew_and_no_exact_levels():
    made = noise_tables(scalar_sensor(), "gaussian")
    assert made.cdf.size == made.guide.size == 0
    assert not made.level[..., 2].any()
    assert (made.level.view(np.int32)[..., 3] == -1).all()


def test_many_digital_numbers_per_electron_fit_the_guide():
    """A photon-counting sensor: laws of over 255 values; its peaks are one electron apart."""
    sensor = scalar_sensor(gain_e_per_dn=0.107, read_noise_e=0.27, offset_dn=200.0)
    made = noise_tables(sensor)
    raw = np.full((16, 64), 200 + 280, np.uint16)
    drawn = compiled_noise.replicate(raw, made, KEY, range(20))
    electrons = (drawn - 200.0) * 0.107
    assert np.abs(electrons - np.rint(electrons)).mean() < 0.23  # 0.25 for a smooth law
    assert drawn.mean() == pytest.approx(480, abs=4 * np.sqrt(280 / 0.107 / drawn.size))


@pytest.mark.parametrize("change", ["law", "level", "maps"])
def test_table_hash_sees_every_part(change):
    made = noise_tables(map_sensor() if change == "maps" else scalar_sensor())
    if change == "law":
        other = replace(made, law="gaussian")
    elif change == "level":
        other = replace(made, level=np.nextafter(made.level, np.float32(np.inf)))
    else:
        other = replace(made, maps=replace(made.maps, offset=made.maps.offset + 1))
    assert tables_sha256(made) != tables_sha256(other)
    assert tables_sha256(made) == tables_sha256(replace(made))


def test_unknown_law_and_wrong_frame_are_refused():
    with pytest.raises(ConfigError, match="poisson-gaussian, gaussian"):
        noise_tables(scalar_sensor(), "poisson")
    with pytest.raises(CalibrationError, match="crop the sensor"):
        noise_tables(region_sensor(), shape=(3, 24, 36))


# ---- golden numbers


def test_golden_block():
    """Committed tables, so that this hash holds for every engine, machine and version of SciPy."""
    raw, made = golden.raw_block(), golden.load()
    for loops in (plain_noise, compiled_noise):
        block = loops.replicate(raw, made, derive_key(2022, Stream.NOISE), *golden.PLACE)
        assert block.dtype == np.uint16
        assert hashlib.sha256(block.astype("<u2").tobytes()).hexdigest() == golden.SHA256


def law_of_level(made, level, top):
    """Return the cumulative law of an exact level at 0..top, in units of 2**-32."""
    first, start = made.level.view(np.int32)[0, level, :2]
    end = start + int(np.argmax(made.cdf[start:] == plain_noise.SENTINEL)) + 1
    out = np.full(top + 1, plain_noise.SENTINEL, np.int64)
    out[:first] = 0
    out[first : first + end - start] = made.cdf[start:end]
    return out


def test_fresh_tables_drift_by_one_unit_at_most():
    fresh, kept = noise_tables(golden.SENSOR), golden.load()
    rows = kept.level.view(np.int32)[0, :, 3]
    assert np.array_equal(fresh.level.view(np.int32)[0, :, 3], rows)
    for level in np.flatnonzero(rows >= 0):
        assert np.abs(law_of_level(fresh, level, 1023) - law_of_level(kept, level, 1023)).max() <= 1
    smooth = rows < 0
    for a, b in ((fresh.level[0, smooth, :3], kept.level[0, smooth, :3]), (fresh.quantile, kept.quantile)):
        assert (np.abs(a - b) <= np.spacing(np.abs(b))).all()


# ---- twins and invariance


@pytest.mark.parametrize("shape", [SHAPE, (3, *SHAPE)], ids=["2D", "3D"])
def test_twins_give_the_same_bits(tables, shape):
    raw = all_levels(shape)
    numbers = range(3, 9, 2)
    slow = plain_noise.replicate(raw, tables, KEY, numbers, (2, 5, 7))
    assert slow.shape == (3, *shape)
    assert slow.dtype == np.uint16
    assert np.array_equal(slow, compiled_noise.replicate(raw, tables, KEY, numbers, (2, 5, 7)))


@pytest.mark.parametrize("loops", [plain_noise, compiled_noise], ids=["plain", "compiled"])
def test_crops_tiles_and_ranges_draw_the_same_noise(tables, loops):
    raw = all_levels((3, *SHAPE))
    whole = loops.replicate(raw, tables, KEY, range(6))
    for rows, columns in (((0, 24), (0, 37)), ((5, 24), (1, 2)), ((3, 17), (7, 30)), ((11, 12), (2, 37))):
        part = np.ascontiguousarray(raw[1:3, slice(*rows), slice(*columns)])
        cropped = crop_tables(tables, rows, columns)
        drawn = loops.replicate(part, cropped, KEY, range(2, 5), (1, rows[0], columns[0]))
        assert np.array_equal(drawn, whole[2:5, 1:3, slice(*rows), slice(*columns)])
    plane = loops.replicate(np.ascontiguousarray(raw[0]), tables, KEY, range(5, 6))
    assert np.array_equal(plane[0], whole[5, 0])


def test_large_coordinates_and_replicate_numbers_reach_the_counter():
    made, raw = noise_tables(scalar_sensor()), np.full((2, 9), 2000, np.uint16)
    place, last = (2**32 - 1, 2**32 - 2, 2**32 - 9), range(2**32 - 1, 2**32)
    slow = plain_noise.replicate(raw, made, KEY, last, place)
    assert np.array_equal(slow, compiled_noise.replicate(raw, made, KEY, last, place))
    for other in (range(2**32 - 2, 2**32 - 1), last):
        moved = plain_noise.replicate(raw, made, KEY, other, (0, *place[1:]))
        assert not np.array_equal(slow, moved)


def test_pixels_with_no_variance_stay():
    raw = np.full(SHAPE, 40, np.uint16)
    assert (compiled_noise.replicate(raw, noise_tables(scalar_sensor()), KEY, range(4)) == 40).all()


def test_draws_are_clipped_at_both_ends_never_wrapped():
    sensor = scalar_sensor(offset_dn=2.0)
    for law in ("poisson-gaussian", "gaussian"):
        made = noise_tables(sensor, law)
        top = compiled_noise.replicate(np.full(SHAPE, 4095, np.uint16), made, KEY, range(8))
        assert top.max() == 4095
        assert top.min() > 3600
        assert 0.4 < (top == 4095).mean() < 0.6
        dark = compiled_noise.replicate(np.full(SHAPE, 2, np.uint16), made, KEY, range(8))
        assert dark.min() == 0
        assert dark.max() < 40


@pytest.mark.parametrize("loops", [plain_noise, compiled_noise], ids=["plain", "compiled"])
def test_unfit_arguments_are_refused(loops):
    made = noise_tables(region_sensor())
    raw = np.zeros(SHAPE, np.uint16)
    with pytest.raises(ValueError, match="crop the tables"):
        loops.replicate(raw[:, :30].copy(), made, KEY, range(1))
    with pytest.raises(ValueError, match="4096 DN, above the tables' top"):
        loops.replicate(raw + np.uint16(4096), made, KEY, range(1))
    with pytest.raises(ValueError, match="axes"):
        loops.replicate(raw[0], made, KEY, range(1))
    with pytest.raises(ValueError, match="replicates"):
        loops.replicate(raw, made, KEY, range(-1, 1))
    with pytest.raises(ValueError, match="origin"):
        loops.replicate(raw, made, KEY, range(1), (0, -1, 0))
    assert loops.replicate(raw, made, KEY, range(0)).shape == (0, *SHAPE)


# ---- sums


@pytest.mark.parametrize("loops", [plain_accumulate, compiled_accumulate], ids=["plain", "compiled"])
def test_sums_are_exact(loops):
    images = np.random.default_rng(5).integers(0, 65536, (40, 2, 5, 7)).astype(np.uint16)
    images[:, 0, 0, 0] = 65535
    sum1, sum2 = np.zeros((2, 5, 7), np.uint64), np.zeros((2, 5, 7), np.uint64)
    loops.accumulate(images[:15], sum1, sum2)
    loops.accumulate(images[15:], sum1, sum2)
    numbers = images.astype(object)
    assert (sum1 == numbers.sum(axis=0)).all()
    assert (sum2 == (numbers**2).sum(axis=0)).all()
    with pytest.raises(ValueError, match="do not fit"):
        loops.accumulate(images, sum1[0], sum2)
    with pytest.raises(ValueError, match="contiguous"):
        loops.accumulate(np.swapaxes(images, 2, 3), np.swapaxes(sum1, 1, 2), np.swapaxes(sum2, 1, 2))


def test_variance_is_exact_where_floats_cancel():
    """65535 and 65534 alternating: 1/4 n / (n - 1), which float32 sums miss altogether."""
    for n in (2, 1000, 65534, 1 << 20):
        half = n // 2
        sum1 = np.array([half * (65535 + 65534)], np.uint64)
        sum2 = np.array([half * (65535**2 + 65534**2)], np.uint64)
        assert pixel_variance(sum1, sum2, n)[0] == pytest.approx(n / 4 / (n - 1), rel=1e-14)
        assert pixel_deviation(sum1, sum2, n)[0] == pytest.approx(np.sqrt(n / 4 / (n - 1)))
        assert pixel_mean(sum1, n)[0] == 65534.5
    with pytest.raises(ValueError, match="at least 2"):
        pixel_variance(sum1, sum2, 1)


def test_pixel_sums_equal_those_of_the_drawn_images(cpu_backend, monkeypatch):
    monkeypatch.setattr("compdistort.replicate.drawing.BATCH_BYTES", 3 * 2 * 24 * 37)
    made, raw = noise_tables(scalar_sensor()), all_levels(SHAPE)
    images = draw(raw, made, cpu_backend, 9, range(4, 12)).astype(np.uint64)
    n, sum1, sum2 = pixel_sums(raw, made, cpu_backend, 9, range(4, 12))
    assert n == 8
    assert np.array_equal(sum1, images.sum(axis=0))
    assert np.array_equal(sum2, (images**2).sum(axis=0))
    assert pixel_variance(sum1, sum2, n) == pytest.approx(images.var(axis=0, ddof=1), rel=1e-12)


def test_draw_depends_on_the_seed_alone(backend):
    made, raw = noise_tables(scalar_sensor()), all_levels(SHAPE)
    first = draw(raw, made, backend, 1, range(2))
    assert np.array_equal(first, draw(raw, made, get_backend("numpy"), 1, range(2)))
    assert not np.array_equal(first, draw(raw, made, backend, 2, range(2)))


# ---- diagnostics


def test_saturated_pixels_are_reported():
    sensor = scalar_sensor(saturation_dn=4000.0)
    raw = np.array([[3000, 3720, 3740, 4000, 4095, 100]], np.uint16)
    report = saturation_report(raw, sensor)
    sigma = np.sqrt(sensor.variance_dn2(raw) + 1 / 12)
    assert report.mask.tolist() == (raw >= 4000 - 3 * sigma).tolist() == [[False, False, True, True, True, False]]
    assert report.fraction == 0.5
    assert any("saturation" in text for text in noise_notices(raw, sensor, noise_tables(sensor)))


def test_noise_that_the_converter_hides_is_noticed():
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=30.0, read_noise_e=6.0)
    raw = np.full(SHAPE, 101, np.uint16)
    (text,) = noise_notices(raw, sensor, noise_tables(sensor))
    assert text.startswith("100.0% of the pixels have noise below 0.5 DN")
    good = scalar_sensor()
    assert noise_notices(np.full(SHAPE, 900, np.uint16), good, noise_tables(good)) == ()
    (_, still) = noise_notices(np.full(SHAPE, 30, np.uint16), good, noise_tables(good))
    assert "no noise" in still


def test_distance_of_the_quantile_law_has_the_published_size():
    """Design note gpu.md, section 6: read noise 1.6 e-, 2.17 DN/e-; Gaussian 0.030 at 5 e-, with skew term 0.0007."""
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=1 / 2.17, read_noise_e=1.6)
    raw = np.full((2, 2), round(100 + 5 * 2.17), np.uint16)
    assert law_distance(raw, sensor, "gaussian").worst == pytest.approx(0.030, abs=0.002)
    assert law_distance(raw, sensor).worst == pytest.approx(0.0007, abs=0.0002)
    bright = np.full((2, 2), 2270, np.uint16)
    assert law_distance(bright, sensor).worst < 1e-4
    assert law_distance(bright * 0, sensor).n_pixels == 0


def test_maps_print_their_distance_to_the_exact_law():
    sensor = map_sensor()
    texts = noise_notices(all_levels(SHAPE), sensor, noise_tables(sensor))
    assert "total-variation distance" in texts[-1]
