"""Sensor models, their files, and whether they fit an image."""

import json
import zipfile

import numpy as np
import pytest
import tifffile

from compdistort.errors import CalibrationError, ResourceError
from compdistort.sensor.flat_noise import block_noise, residual, whiteness
from compdistort.sensor.model import SensorMaps, SensorModel, SensorRegion
from compdistort.sensor.sensor_file import load_sensor, save_sensor
from compdistort.sensor.single_image import estimate_noise


def region(name, columns, **changes):
    values = {"offset_dn": 100.0, "gain_e_per_dn": 2.5, "read_noise_e": 3.0, "rows": (0, 4), "columns": columns}
    return SensorRegion(name=name, **(values | changes))


def two_taps():
    parts = (region("tap 0,0", (0, 3)), region("tap 0,1", (3, 8), offset_dn=120.0, gain_e_per_dn=2.0))
    return SensorModel(regions=parts, frame_shape=(4, 8), bits=12, source={"method": "typed"})


def pixel_model():
    rng = np.random.default_rng(3)
    maps = SensorMaps(
        gain_e_per_dn=rng.uniform(1, 3, (4, 8)),
        offset_dn=rng.uniform(90, 110, (4, 8)),
        read_noise_e=rng.uniform(0, 2, (4, 8)),
    )
    return SensorModel(regions=two_taps().regions, maps=maps, frame_shape=(4, 8), bits=12)


def camera(electrons, rng, gain=0.5, offset=100.0, read=3.0, top=65535):
    noisy = offset + gain * (rng.poisson(electrons) + rng.normal(0, read, electrons.shape))
    return np.clip(np.rint(noisy), 0, top).astype(np.uint16)


def smooth_scene(shape=(256, 256), low=200.0, high=4000.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * x / 180) * np.cos(2 * np.pi * y / 240))


def test_variance_is_clipped_as_a_whole():
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=2.0, read_noise_e=4.0)
    y = np.array([0.0, 96.0, 98.0, 100.0, 102.0])
    assert sensor.variance_dn2(y).tolist() == [0.0, 2.0, 3.0, 4.0, 5.0]


def test_variance_of_regions_and_maps_is_that_of_each_pixel():
    y = np.full((4, 8), 500.0)
    by_tap = two_taps().variance_dn2(y)
    assert by_tap[0, 0] == pytest.approx((3 / 2.5) ** 2 + 400 / 2.5)
    assert by_tap[3, 7] == pytest.approx((3 / 2.0) ** 2 + 380 / 2.0)
    model = pixel_model()
    gain = 1 / model.maps.gain_e_per_dn
    slow = (gain * model.maps.read_noise_e) ** 2 + gain * (y - model.maps.offset_dn)
    np.testing.assert_array_equal(model.variance_dn2(y), slow)


@pytest.mark.parametrize(
    "model", [SensorModel.scalar(offset_dn=5, gain_e_per_dn=0.5, read_noise_e=0), two_taps()], ids=["scalar", "regions"]
)
def test_file_round_trip(tmp_path, model):
    path = save_sensor(tmp_path / "sensor.json", model)
    assert load_sensor(path) == model
    text = json.loads(path.read_text())
    first = text["regions"][0]
    assert first["gain_dn_per_e"] * first["gain_e_per_dn"] == pytest.approx(1)
    assert [p.name for p in tmp_path.iterdir()] == ["sensor.json"]


def test_pixel_maps_round_trip_and_tampering(tmp_path):
    model = pixel_model()
    path = save_sensor(tmp_path / "sensor.json", model)
    back = load_sensor(path)
    assert back.kind == "pixel"
    for name in ("gain_e_per_dn", "offset_dn", "read_noise_e"):
        np.testing.assert_array_equal(getattr(back.maps, name), getattr(model.maps, name))
    with (tmp_path / "sensor.maps.npz").open("r+b") as file:
        file.seek(100)
        file.write(b"xxxx")
    with pytest.raises(CalibrationError, match=r"sensor\.maps\.npz: has changed"):
        load_sensor(path)
    (tmp_path / "sensor.maps.npz").unlink()
    with pytest.raises(CalibrationError, match="are missing"):
        load_sensor(path)


def test_maps_that_hold_objects_or_lie_about_their_size_are_refused(tmp_path):
    path = save_sensor(tmp_path / "sensor.json", pixel_model())
    beside = tmp_path / "sensor.maps.npz"

    def rewrite(change):
        with zipfile.ZipFile(beside) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(beside, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, change(data))
        data = json.loads(path.read_text())
        from compdistort.io.files import sha256_file

        data["maps"]["sha256"] = sha256_file(beside)
        path.write_text(json.dumps(data))

    rewrite(lambda data: data.replace(b"(4, 8)", b"(9, 9)"))
    with pytest.raises(CalibrationError, match="does not have the size that it states"):
        load_sensor(path)
    rewrite(lambda data: data.replace(b"'<f8'", b"'|O' "))
    with pytest.raises(CalibrationError, match="is no float64 image"):
        load_sensor(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99"),
        ({"format": "other"}, "is no compdistort-sensor file"),
        ({"regions": []}, "0 regions"),
        ({"bits": 8}, "bits 8"),
        ({"frame_shape": [4, 9]}, "leave parts of the frame"),
        ({"frame_shape": None}, "need the shape"),
        ({"kind": "pixel"}, "does not fit its maps"),
        ({"source": 3}, "unusable entry"),
        ({"maps": {"file": "../../etc/passwd", "sha256": ""}}, "unusable"),
    ],
)
def test_damaged_files_are_refused_by_name(tmp_path, change, message):
    path = save_sensor(tmp_path / "sensor.json", two_taps())
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_sensor(path)
    assert "sensor.json" in str(caught.value) or "version" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gain_e_per_dn", -1.0, "is not above 0"),
        ("gain_e_per_dn", 3.0, "contradict each other"),
        ("read_noise_e", "many", "unusable entry"),
        ("offset_dn", 5000.0, "lies above 4095 DN"),
        ("columns", [0, 4], "overlap"),
        ("covariance", [[1.0]], "3 x 3"),
    ],
)
def test_damaged_regions_are_refused(tmp_path, key, value, message):
    path = save_sensor(tmp_path / "sensor.json", two_taps())
    data = json.loads(path.read_text())
    data["regions"][0][key] = value
    path.write_text(json.dumps(data))
    with pytest.raises(CalibrationError, match=message):
        load_sensor(path)


def test_missing_or_unreadable_files(tmp_path):
    with pytest.raises(CalibrationError, match=r"none\.json: cannot be read"):
        load_sensor(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(CalibrationError, match="is no JSON"):
        load_sensor(tmp_path / "bad.json")
    with pytest.raises(ResourceError):
        save_sensor(tmp_path / "no folder" / "sensor.json", two_taps())


def test_crop_keeps_each_pixel_its_own_values():
    y = np.arange(32, dtype=float).reshape(4, 8) * 30
    for model in (two_taps(), pixel_model()):
        whole = model.variance_dn2(y)
        part = model.crop((1, 3), (2, 6))
        np.testing.assert_array_equal(part.variance_dn2(y[1:3, 2:6]), whole[1:3, 2:6])
        assert part.frame_shape == (2, 4)
    assert two_taps().crop((0, 4), (4, 6)).regions[0].name == "tap 0,1"
    with pytest.raises(CalibrationError, match="columns 4:9 lie outside"):
        two_taps().crop((0, 4), (4, 9))


def test_a_scalar_model_fits_any_crop():
    sensor = SensorModel.scalar(offset_dn=5, gain_e_per_dn=0.5, read_noise_e=0)
    assert sensor.crop((10, 20), (5, 9)) is sensor
    assert sensor.region_map() is None


def test_check_image_accepts_what_the_sensor_took():
    image = camera(smooth_scene(), np.random.default_rng(5))
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=2.0, read_noise_e=3.0)
    assert sensor.check_image(image, "scene.tif") == ()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"offset_dn": 2000}, r"scene\.tif: its median grey level lies"),
        ({"bits": 10}, r"outside the sensor's 0 to 1023 DN"),
        ({"gain_e_per_dn": 0.2}, "noise variance is"),
        ({"gain_e_per_dn": 40.0}, "even its flattest areas"),
    ],
)
def test_check_image_refuses_another_sensor(values, message):
    image = camera(smooth_scene(), np.random.default_rng(6))
    sensor = SensorModel.scalar(**({"offset_dn": 100, "gain_e_per_dn": 2.0, "read_noise_e": 3.0} | values))
    with pytest.raises(CalibrationError, match=message):
        sensor.check_image(image, "scene.tif")


def test_check_image_refuses_shape_and_saturation():
    with pytest.raises(CalibrationError, match="crop the sensor model"):
        two_taps().check_image(np.full((5, 8), 200, np.uint16), "a.tif")
    image = camera(smooth_scene(), np.random.default_rng(7), top=500)
    sensor = SensorModel.scalar(offset_dn=100, gain_e_per_dn=2.0, read_noise_e=3.0, saturation_dn=500)
    with pytest.raises(CalibrationError, match=r"a\.tif: .* of the pixels are saturated"):
        sensor.check_image(image, "a.tif")


def test_residual_equals_a_plain_convolution():
    from scipy.signal import convolve2d

    image = np.random.default_rng(8).integers(0, 4000, (30, 41))
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
    np.testing.assert_allclose(residual(image), convolve2d(image, kernel, "valid"), atol=1e-9)


def test_block_noise_and_whiteness_of_known_noise():
    rng = np.random.default_rng(9)
    white = np.rint(1000 + rng.normal(0, 6, (320, 320)))
    # 400 blocks of 256 pixels: the median over blocks is good to about 1 %
    assert np.median(block_noise(white).variance) == pytest.approx(36, rel=0.05)
    assert whiteness(white) == pytest.approx(3, abs=0.1)
    smoothed = np.rint((white[:-1, :-1] + white[1:, :-1] + white[:-1, 1:] + white[1:, 1:]) / 4)
    assert whiteness(smoothed) < 2.2


@pytest.mark.parametrize(("gain", "offset", "read"), [(0.5, 100.0, 3.0), (1.6, 300.0, 0.0)])
def test_estimate_noise_finds_the_line_of_a_smooth_scene(gain, offset, read):
    image = camera(smooth_scene((512, 512)), np.random.default_rng(10), gain, offset, read)
    sensor = estimate_noise(image)
    assert sensor.estimated
    assert sensor.regions[0].gain_dn_per_e == pytest.approx(gain, rel=0.05)
    levels = np.linspace(offset + 300 * gain, offset + 3500 * gain, 5)
    truth = SensorModel.scalar(offset_dn=offset, gain_e_per_dn=1 / gain, read_noise_e=read)
    np.testing.assert_allclose(sensor.variance_dn2(levels), truth.variance_dn2(levels), rtol=0.06)
    assert sensor.regions[0].read_noise_e == 0.0


def test_estimate_noise_with_a_known_offset_keeps_it():
    image = camera(smooth_scene((256, 256), 1000, 1400), np.random.default_rng(11), 0.5, 100.0, 3.0)
    sensor = estimate_noise(image, offset_dn=100.0, read_noise_e=3.0)
    assert sensor.regions[0].offset_dn == 100.0
    assert sensor.regions[0].read_noise_e == pytest.approx(3.0)
    assert sensor.regions[0].gain_dn_per_e == pytest.approx(0.5, rel=0.05)


def test_estimate_noise_widens_its_uncertainty_and_names_processing():
    rng = np.random.default_rng(12)
    image = camera(smooth_scene((512, 512)), rng)
    sensor = estimate_noise(image)
    error = sensor.regions[0].gain_dn_per_e_standard_error
    assert error >= 0.05 * sensor.regions[0].gain_dn_per_e
    half = image.astype(float)
    blurred = np.rint((half[:-1, :-1] + half[1:, :-1] + half[:-1, 1:] + half[1:, 1:]) / 4).astype(np.uint16)
    assert any("resampled or filtered" in text for text in estimate_noise(blurred).source["warnings"])


def test_estimate_noise_finds_saturation_and_bits():
    image = camera(smooth_scene((256, 256), 200, 9000), np.random.default_rng(13), top=4095)
    sensor = estimate_noise(image)
    assert (sensor.bits, sensor.saturation_dn) == (12, 4095.0)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((64, 64), 7, np.uint16), r"x\.tif: more than half of the pixels are at 7 DN"),
        (np.tile(np.arange(200, 456, dtype=np.uint16), (256, 1)), r"x\.tif: .*no noise"),
        (np.zeros((8, 8), np.uint16) + np.arange(8, dtype=np.uint16), r"x\.tif: .* pixels are too few"),
    ],
)
def test_estimate_noise_refuses(image, message):
    with pytest.raises(CalibrationError, match=message) as caught:
        estimate_noise(image, name="x.tif")
    assert caught.value.remedy


def test_estimate_noise_refuses_one_grey_level():
    image = camera(np.full((256, 256), 900.0), np.random.default_rng(14))
    with pytest.raises(CalibrationError, match="calibrate"):
        estimate_noise(image)


@pytest.mark.data
def test_foci_h2ax(shared_data):
    sensor = estimate_noise(tifffile.imread(shared_data / "nuclei-speckles" / "foci_h2ax.tif"))
    assert 0.8 <= sensor.regions[0].gain_dn_per_e <= 1.0
    assert abs(sensor.regions[0].offset_dn - 232) < 40


@pytest.mark.data
def test_phase_nist_tiles(shared_data):
    tiles = tifffile.imread(shared_data / "phase-nist" / "tiles.tif")
    sensor = estimate_noise(tiles)
    low, high = (
        sensor.regions[0].gain_dn_per_e + s * 1.96 * sensor.regions[0].gain_dn_per_e_standard_error for s in (-1, 1)
    )
    assert low < 1.03 < high
    with_offset = estimate_noise(tiles, offset_dn=240.0)
    assert with_offset.regions[0].gain_dn_per_e == pytest.approx(1.03, abs=0.03)


@pytest.mark.data
def test_resampled_data_is_named(shared_data):
    """mesospim-crop is interpolated: the rawness check must say so."""
    sensor = estimate_noise(tifffile.imread(shared_data / "mesospim-crop" / "c5image.tif"))
    assert any("resampled or filtered" in text for text in sensor.source["warnings"])
