"""Calibration from frames: known truth, EMVA's reference implementation, real frames, and what can be wrong."""

import json

import numpy as np
import pytest
import tifffile

from compdistort.errors import CalibrationError, ConfigError, ImageFormatError
from compdistort.sensor.dark import dark_noise
from compdistort.sensor.fit import fit_line
from compdistort.sensor.frames import make_frames, read_frames
from compdistort.sensor.layout import lay_out, parse_roi, parse_taps
from compdistort.sensor.levels import make_levels, temporal_variance
from compdistort.sensor.ptc import fit_photon_transfer_curve

GAIN, OFFSET, READ = 0.6, 60.0, 4.0


class Camera:
    """A camera with fixed pattern, without light leaks: DN = offset + K (Poisson + read), clipped and rounded."""

    def __init__(self, shape, seed, prnu=0.01, dsnu_e=2.0, top=4095):
        self.rng = np.random.default_rng(seed)
        self.response = 1 + prnu * self.rng.standard_normal(shape)
        self.offset = OFFSET + GAIN * dsnu_e * self.rng.standard_normal(shape)
        self.shape, self.top = shape, top

    def shoot(self, electrons):
        charge = self.rng.poisson(electrons * self.response) + self.rng.normal(0, READ, self.shape)
        return np.clip(np.rint(self.offset + GAIN * charge), 0, self.top).astype(np.uint16)

    def pairs(self, levels):
        return [np.stack([self.shoot(level) for level in levels]) for _ in range(2)]


def uneven(shape, low=300.0, high=5000.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return low + (high - low) * np.exp(-((x - shape[1] / 2) ** 2 + (y - shape[0] / 2) ** 2) / (0.3 * shape[1]) ** 2)


@pytest.fixture(scope="module")
def series():
    """24 exposures of a 12-bit camera, the last ones saturated."""
    camera = Camera((128, 128), seed=21)
    levels = np.linspace(250, 8000, 24)
    return levels, make_frames(camera.pairs(levels), camera.pairs([0.0]), bits=12)


@pytest.fixture
def oracle(series, monkeypatch):
    """EMVA 1288's reference implementation on the same frames (PyPI emva1288, which still calls np.asfarray)."""
    monkeypatch.setattr(np, "asfarray", lambda x: np.asarray(x, float), raising=False)
    from emva1288.process.data import Data1288
    from emva1288.process.results import Results1288
    from emva1288.process.routines import get_int_imgs

    levels, frames = series
    dark = get_int_imgs([frames.dark.a[0], frames.dark.b[0]])
    light = {p: get_int_imgs([a, b]) for p, a, b in zip(levels, frames.flat.a, frames.flat.b, strict=True)}
    sums = {
        key: {k: np.sum(v) if k in {"sum", "pvar"} else v for k, v in images.items()}
        for key, images in {0.0: dark, **light}.items()
    }
    half = levels[np.argmin(np.abs(levels - 0.5 * 6700))]
    rows, columns = frames.shape
    data = Data1288(
        {"temporal": {1.0: sums}, "spatial": {1.0: {0.0: dark, half: light[half]}},
         "width": columns, "height": rows}
    )  # fmt: skip
    return Results1288(data.data)


def test_agrees_with_the_reference_implementation(series, oracle):
    levels, frames = series
    region = fit_photon_transfer_curve(frames, exposures=levels).regions[0]
    emva = region.emva
    # The two differ by N / (N - 1), by outliers beyond 6 standard deviations, and in nothing else.
    assert emva.gain_dn_per_e == pytest.approx(oracle.K, rel=1e-3)
    assert emva.dark_noise_dn == pytest.approx(oracle.sigma_y_dark, rel=1e-3)
    assert emva.dark_noise_e == pytest.approx(oracle.sigma_d, rel=2e-3)
    assert emva.sensitivity_threshold_e == pytest.approx(oracle.u_e_min, rel=2e-3)
    # Theirs goes through the responsivity, ours through the signal at saturation.
    assert emva.saturation_e == pytest.approx(oracle.u_e_sat, rel=0.01)
    assert emva.dynamic_range == pytest.approx(oracle.DR, rel=0.01)
    assert emva.snr_max == pytest.approx(oracle.SNR_max, rel=0.005)
    assert emva.dsnu_e == pytest.approx(oracle.DSNU1288, rel=0.02)
    assert emva.prnu_percent == pytest.approx(oracle.PRNU1288, rel=0.02)
    assert emva.linearity_error_min_percent == pytest.approx(oracle.LE_min, abs=1e-3)
    assert emva.linearity_error_max_percent == pytest.approx(oracle.LE_max, abs=1e-3)


def test_series_finds_the_truth_and_saturation(series):
    levels, frames = series
    calibration = fit_photon_transfer_curve(frames)
    region = calibration.regions[0]
    fit = region.fit
    assert abs(fit.gain_dn_per_e - GAIN) < 3.5 * fit.gain_standard_error
    assert fit.gain_standard_error < 0.004
    # The converter is full at 4095 DN; one level below, it already cuts off a quarter of the noise.
    assert region.saturation_dn == pytest.approx(4095, abs=1.5 * GAIN * (levels[1] - levels[0]))
    assert not region.levels.binned
    model = calibration.model
    assert model.kind == "scalar"
    assert model.saturation_dn == region.saturation_dn
    assert model.regions[0].read_noise_e == pytest.approx(READ, rel=0.03)
    assert model.regions[0].offset_dn == pytest.approx(OFFSET, abs=0.1)


def test_one_uneven_pair_is_enough():
    camera = Camera((256, 256), seed=22)
    light = uneven((256, 256))
    frames = make_frames(camera.pairs([light]), camera.pairs([0.0]), bits=12)
    region = fit_photon_transfer_curve(frames).regions[0]
    assert region.levels.binned
    assert region.saturation_dn is None
    assert abs(region.fit.gain_dn_per_e - GAIN) < 3.5 * region.fit.gain_standard_error
    assert region.fit.p_value > 1e-3
    assert region.to_dict()["saturation_dn"] == "not reached"


def test_a_lamp_drift_does_not_read_as_noise():
    camera = Camera((128, 128), seed=23)
    flat = [camera.shoot(3000.0), camera.shoot(3030.0)]
    difference = flat[0].astype(float) - flat[1]
    variance, _, _ = temporal_variance(difference)
    # N = 16384: one standard error is 1.1 %; the drift of 18 DN alone would add 162 DN^2 (15 %).
    assert variance == pytest.approx(GAIN**2 * (3015 + READ**2) + 1 / 12, rel=0.04)
    assert np.mean(difference**2) / 2 > 1.1 * variance


def test_cosmic_rays_and_bad_levels_are_held_off():
    camera = Camera((128, 128), seed=24)
    levels = np.linspace(200, 5000, 16)
    a, b = camera.pairs(levels)
    a[:, 5:8, 5:8] = 4000  # a cosmic ray in every frame of the first stack
    b[7, ::2] += 60  # one pair that was disturbed
    frames = make_frames([a, b], camera.pairs([0.0]), bits=12)
    calibration = fit_photon_transfer_curve(frames)
    fit = calibration.regions[0].fit
    assert abs(fit.gain_dn_per_e - GAIN) < 4 * fit.gain_standard_error
    assert any("lie far off the line" in text for text in calibration.warnings)


def test_a_bent_curve_is_said():
    x = np.linspace(0, 20000, 40)
    variance = 20 + 0.4 * x * (1 - 0.08 * x / 20000)
    fit = fit_line(x, variance, np.full(40, 20_000))
    assert fit.curved
    assert fit.initial_gain_dn_per_e == pytest.approx(0.4, rel=1e-6)
    assert fit.gain_dn_per_e < 0.39
    straight = fit_line(x, 20 + 0.4 * x, np.full(40, 20_000))
    assert not straight.curved


def test_taps_are_calibrated_one_by_one_and_blank_columns_are_named():
    shape = (64, 160)
    rng = np.random.default_rng(25)
    light = np.tile(uneven((64, 80), 500, 4000), (1, 2))
    light[:, :12] = 0
    light[:, 158:] = 0
    gain = np.where(np.arange(160) < 80, 0.5, 0.8)
    offset = np.where(np.arange(160) < 80, 100.0, 300.0)

    def shoot(electrons):
        return np.rint(offset + gain * (rng.poisson(electrons) + rng.normal(0, 3, shape))).astype(np.uint16)

    flat, dark = ([shoot(e) for _ in range(2)] for e in (light, np.zeros(shape)))
    calibration = fit_photon_transfer_curve(make_frames(flat, dark), taps=(1, 2))
    left, right = calibration.model.regions
    assert (left.name, left.columns, right.columns) == ("tap 0,0", (0, 80), (80, 160))
    for region, truth in ((left, 0.5), (right, 0.8)):
        assert abs(region.gain_dn_per_e - truth) < 4 * region.gain_dn_per_e_standard_error
    assert left.offset_dn == pytest.approx(100, abs=0.2)
    notices = [text for text in calibration.warnings if "blank or overscan" in text]
    assert "columns 0:12 of it" in notices[0]
    assert "--roi 0:64,12:80" in notices[0]
    assert "columns 78:80 of it" in notices[1]
    with pytest.raises(CalibrationError, match=r"tap 0,0: --roi 0:64,0:12 holds 0 lit columns"):
        lay_out(make_frames(flat, dark), (1, 2), ((0, 64), (0, 12)))


def test_dim_corners_are_no_blank_columns_but_strange_noise_is():
    camera = Camera((96, 96), seed=34)
    light = np.tile(np.geomspace(5, 100, 96), (96, 1))  # read noise (16 e-^2) outdoes the light on the left
    assert lay_out(make_frames(camera.pairs([light]), camera.pairs([0.0]), bits=12))[0].columns.size == 96
    a, b = camera.pairs([np.full((96, 96), 2000.0)])
    a[:, :, 10:14] = 3000 + (a[:, :, 10:14].astype(int) - 1260) // 8  # processed, not raw
    b[:, :, 10:14] = 3000 + (b[:, :, 10:14].astype(int) - 1260) // 8
    layout = lay_out(make_frames([a, b], camera.pairs([0.0]), bits=12))[0]
    assert "columns 10:14 of it were left out" in layout.notices[0]


def test_quantisation_limited_darks_are_said():
    rng = np.random.default_rng(26)

    def shoot(electrons):
        return np.rint(100 + 0.1 * (rng.poisson(electrons) + rng.normal(0, 3, (96, 96)))).astype(np.uint16)

    light = uneven((96, 96), 2000, 60000)
    region = fit_photon_transfer_curve(make_frames([shoot(light), shoot(light)], [shoot(0.0), shoot(0.0)])).regions[0]
    assert region.emva.quantisation_limited
    assert region.emva.dark_noise_dn == pytest.approx(0.24**0.5)
    assert region.region().read_noise_e == pytest.approx((0.24 - 1 / 12) ** 0.5 / region.fit.gain_dn_per_e)


def test_correlated_and_row_noise_of_the_dark_are_measured():
    rng = np.random.default_rng(27)
    shape = (128, 128)
    white = [rng.normal(0, 5, shape) for _ in range(2)]
    rows = [rng.normal(0, 5 * 0.2**0.5, (128, 1)) for _ in range(2)]
    darks = [np.rint(500 + w * 0.8**0.5 + r).astype(np.uint16) for w, r in zip(white, rows, strict=True)]
    flats = [np.rint(2000 + rng.normal(0, 30, shape)).astype(np.uint16) for _ in range(2)]
    frames = make_frames(flats, darks)
    layout = lay_out(frames)[0]
    noise = dark_noise(frames.dark, layout)
    # 128 rows: the share 0.2 is known to sqrt(2 / 127) of itself, 0.025.
    assert noise.row_share == pytest.approx(0.2, abs=0.08)
    assert abs(noise.column_share) < 4 * noise.column_error
    # Row effects of neighbouring rows correlate by chance: 0.2 / sqrt(127).
    assert abs(noise.column_neighbour) < 4 * 0.2 / 127**0.5
    assert any("whole rows" in text for text in noise.warnings("frame"))


def test_per_pixel_maps_find_the_pattern_and_state_their_error():
    rng = np.random.default_rng(28)
    shape = (40, 48)
    gain = 0.5 * np.exp(rng.normal(0, 0.2, shape))
    offset = 100 + rng.normal(0, 2, shape)

    def shoot(electrons):
        return np.rint(offset + gain * (rng.poisson(electrons, shape) + rng.normal(0, 2, shape))).astype(np.uint16)

    flat = [np.stack([shoot(e) for e in (500, 3000) for _ in range(50)]) for _ in range(2)]
    dark = [np.stack([shoot(0) for _ in range(40)]) for _ in range(2)]
    calibration = fit_photon_transfer_curve(make_frames(flat, dark), per_pixel=True)
    assert calibration.model.kind == "pixel"
    ratio = 1 / calibration.maps.maps.gain_e_per_dn / gain
    # 200 frames: sqrt(2 / 198) = 10 %.
    assert calibration.maps.gain_error == pytest.approx(0.1, rel=0.1)
    assert np.std(ratio) == pytest.approx(calibration.maps.gain_error, rel=0.15)
    assert np.mean(ratio) == pytest.approx(1, abs=0.02)
    assert calibration.maps.gain_spread == pytest.approx(0.2, abs=0.03)
    assert any("standard error of one pixel" in text for text in calibration.warnings)
    few = make_frames([s[:10] for s in flat], [s[:5] for s in dark])
    with pytest.raises(
        CalibrationError, match=r"--per-pixel needs at least 100 flat and 50 dark frames, 20 and 10 given"
    ):
        fit_photon_transfer_curve(few, per_pixel=True)


def _good():
    camera = Camera((64, 64), seed=29)
    return [camera.shoot(2000.0), camera.shoot(2000.0)], [camera.shoot(0.0), camera.shoot(0.0)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f, d: ([f[0], f[1][:32]], d), "do not pair"),
        (lambda f, d: (f, [x[:, :32] for x in d]), "flat frames .* dark frames"),
        (lambda f, d: (d, f), "swapped"),
        (lambda f, d: ([f[0], f[0]], d), "identical"),
        (lambda f, d: ([f[0]], d), "2 needed"),
        (lambda f, d: ([np.full_like(f[0], 900), f[1]], d), r"one grey level \(900 DN\) everywhere"),
        (lambda f, d: ([np.stack([f[0], f[1]]), f[1][None]], d), "2 and 1 frames do not pair"),
        (lambda f, d: ([np.where(np.eye(64) > 0, x, 65535) for x in f], d), "saturated"),
    ],
    ids=["shapes", "dark shape", "swapped", "same frame", "single", "constant", "unpaired", "saturated"],
)  # fmt: skip
def test_frames_that_cannot_calibrate_are_refused(change, message):
    flat, dark = change(*_good())
    with pytest.raises(CalibrationError, match=message) as caught:
        make_frames([np.asarray(x, np.uint16) for x in flat], dark)
    assert caught.value.remedy


def test_values_above_the_bits_are_refused():
    flat, dark = _good()
    with pytest.raises(CalibrationError, match="above the 10 bits given"):
        make_frames(flat, dark, bits=10)


def test_processed_flats_are_refused():
    """Averaged flats have no noise that grows with the light."""
    _, dark = _good()
    rng = np.random.default_rng(30)
    mean = np.linspace(800, 1500, 64)[:, None] + np.zeros(64)
    smooth = [np.rint(mean + rng.normal(0, 1.0, (64, 64))).astype(np.uint16) for _ in range(2)]
    with pytest.raises(CalibrationError, match="does not grow with the light"):
        fit_photon_transfer_curve(make_frames(smooth, dark))


@pytest.mark.parametrize("text", ["2", "0x2", "ax2", "20x20", "2x"])
def test_unreadable_taps(text):
    with pytest.raises(ConfigError, match="not readable"):
        parse_taps(text)


@pytest.mark.parametrize("text", ["1:2", "5:5,0:9", "a:b,c:d", "-1:4,0:4"])
def test_unreadable_roi(text):
    with pytest.raises(ConfigError, match="not usable"):
        parse_roi(text)


def test_taps_and_roi_outside_the_frame():
    frames = make_frames(*_good())
    with pytest.raises(CalibrationError, match="does not divide into 3 x 1 taps"):
        lay_out(frames, (3, 1))
    with pytest.raises(CalibrationError, match="reaches beyond a tap of 64 x 64"):
        lay_out(frames, (1, 1), ((0, 64), (0, 65)))


def test_files_and_folders_pair_alike(tmp_path):
    camera = Camera((48, 48), seed=31)
    flat, dark = camera.pairs(np.linspace(200, 3000, 6)), camera.pairs([0.0])
    for name, stack in (("fa", flat[0]), ("fb", flat[1]), ("da", dark[0]), ("db", dark[1])):
        tifffile.imwrite(tmp_path / f"{name}.tif", stack)
        (tmp_path / name).mkdir()
        for index, frame in enumerate(stack):
            tifffile.imwrite(tmp_path / name / f"{index}.tif", frame)
    stacks = read_frames([tmp_path / "fa.tif", tmp_path / "fb.tif"], [tmp_path / "da.tif", tmp_path / "db.tif"])
    folders = read_frames([tmp_path / "fa", tmp_path / "fb"], [tmp_path / "da", tmp_path / "db"])
    np.testing.assert_array_equal(stacks.flat.a, folders.flat.a)
    np.testing.assert_array_equal(
        make_levels(stacks, lay_out(stacks)[0]).signal, make_levels(folders, lay_out(folders)[0]).signal
    )
    with pytest.raises(CalibrationError, match=r"flat frames need two files, 1 given .*fa\.tif"):
        read_frames([tmp_path / "fa.tif"], [tmp_path / "da.tif", tmp_path / "db.tif"])
    tifffile.imwrite(tmp_path / "eight.tif", flat[0].astype(np.uint8))
    with pytest.raises(ImageFormatError, match=r"eight\.tif"):
        read_frames([tmp_path / "eight.tif", tmp_path / "fb.tif"], [tmp_path / "da.tif", tmp_path / "db.tif"])


TAPS = (0.3965, 0.4000, 0.3954, 0.3988)


@pytest.mark.data
def test_ccd_led_flats_per_tap(shared_data):
    folder = shared_data / "ccd-led-flats"
    frames = read_frames(
        [folder / "led_a.tif", folder / "led_b.tif"], [folder / "dark2s_a.tif", folder / "dark2s_b.tif"]
    )
    calibration = fit_photon_transfer_curve(frames, taps=(2, 2))
    for region, gain in zip(calibration.regions, TAPS, strict=True):
        assert region.fit.gain_dn_per_e == pytest.approx(gain, abs=0.002)
        assert 0 < region.fit.gain_standard_error < 0.0015
        assert 3.8 < region.dark_variance_dn2**0.5 < 4.3
        assert region.saturation_dn is None
        assert region.layout.columns.size == 1024
    notices = [text for text in calibration.warnings if "blank or overscan" in text]
    assert "columns 0:50, 1074:1076" in notices[0]
    assert "columns 0:2, 1026:1076" in notices[1]
    by_hand = fit_photon_transfer_curve(frames, taps=(2, 2), roi=((0, 520), (50, 1026)))
    for region, gain in zip(by_hand.regions, TAPS, strict=True):
        assert region.fit.gain_dn_per_e == pytest.approx(gain, abs=0.002)


@pytest.mark.data
def test_zebrafish_projections_with_their_own_dark(shared_data):
    """Static pixels of two projections as the flat pair, through the level of the dark frame: 0.38 to 0.41 DN/e-."""
    from compdistort.sensor.fit import fit_slope

    folder = shared_data / "opt-zebrafish"
    a, b = (tifffile.imread(folder / f"proj_0{i}.tif").astype(float) for i in (0, 1))
    dark = float(tifffile.imread(folder / "dark_field.tif").mean())
    assert dark == pytest.approx(239.7, abs=0.1)
    shape = (a.shape[0] // 16, 16, a.shape[1] // 16, 16)
    first, second = (
        x[: shape[0] * 16, : shape[2] * 16].reshape(shape).transpose(0, 2, 1, 3).reshape(-1, 256) for x in (a, b)
    )
    mean = (first + second).mean(axis=1) / 2
    difference = first - second * (first.mean(axis=1) / second.mean(axis=1))[:, None]
    variance = difference.var(axis=1, ddof=1) / 2
    order = np.argsort(mean)[mean.size // 10 :]
    levels = np.array([(mean[g].mean(), np.median(variance[g])) for g in np.array_split(order, 30)])
    gain, _ = fit_slope(levels[:, 0] - dark, levels[:, 1], np.full(30, 20_000), 0.0)
    assert 0.38 <= gain <= 0.41


def test_commands_write_sensor_page_and_twin(tmp_path, capsys):
    from compdistort.cli.app import main
    from compdistort.sensor.sensor_file import load_sensor

    camera = Camera((96, 96), seed=32)
    light = uneven((96, 96))
    paths = []
    for name, frame in (("a", light), ("b", light), ("c", 0.0), ("d", 0.0)):
        paths.append(tmp_path / f"{name}.tif")
        tifffile.imwrite(paths[-1], camera.shoot(frame))
    words = [str(p) for p in paths]
    out = tmp_path / "sensor.json"
    code = main(["calibrate", "--flat", *words[:2], "--dark", *words[2:], "--bits", "12", "-o", str(out), "--json"])
    assert code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["regions"][0]["gain_dn_per_e"] == pytest.approx(GAIN, rel=0.05)
    model = load_sensor(out)
    assert (model.kind, model.bits, model.estimated) == ("scalar", 12, False)
    page = (tmp_path / "sensor.calibration.html").read_text()
    assert "DN/e" in page
    assert page.count("<svg") == 3
    assert "http" not in page.replace("http://www.w3.org", "")
    twin = json.loads((tmp_path / "sensor.calibration.json").read_text())
    assert twin["single_pixel"]["replicates"] == 1000
    curve = twin["single_pixel"]["curves"][0]
    # sd of 1000 replicates: 2.2 % each; 64 levels, so 4.5 standard errors
    np.testing.assert_allclose(curve["sd_dn"], curve["law_sd_dn"], rtol=0.1)
    assert main(["calibrate", "--flat", *words[2:], "--dark", *words[:2], "-o", str(tmp_path / "no.json")]) == 3
    assert "swapped" in capsys.readouterr().err
    assert not (tmp_path / "no.json").exists()
    assert main(["calibrate", "--flat", *words[:2], "--dark", *words[2:], "-o", str(tmp_path / "no.txt")]) == 2


def test_estimate_command_marks_its_result(tmp_path, capsys):
    from compdistort.cli.app import main
    from compdistort.sensor.sensor_file import load_sensor

    image = tmp_path / "image.tif"
    tifffile.imwrite(image, Camera((256, 256), seed=33, prnu=0).shoot(uneven((256, 256))))
    out = tmp_path / "sensor.json"
    assert main(["estimate-noise", str(image), "-o", str(out), "--offset", "60"]) == 0
    assert "estimated" in capsys.readouterr().out
    model = load_sensor(out)
    assert model.estimated
    assert model.regions[0].offset_dn == 60
    assert model.regions[0].gain_dn_per_e == pytest.approx(GAIN, rel=0.06)
