"""Filtered back-projection against scikit-image, and what goes before and after it against plain formulas."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from cudahost.bodies_backproject import noise, plan_of
from skimage.transform import iradon

from compdistort.backend.numpy_backend import NumpyBackend
from compdistort.errors import ConfigError, InputError
from compdistort.reconstruct import (
    FILTERS,
    INTERPOLATIONS,
    ParallelBeam,
    attenuation,
    contrast_stretch,
    find_centre,
    reconstruct,
    reconstruction_bytes,
)
from compdistort.reconstruct.filters import frequency_response, transform_points
from compdistort.synthetic import OptScan, opt_phantom

OF_LARGEST = 2e-6
"""Largest difference from scikit-image's float64, in units of the largest value."""


@pytest.fixture(scope="module")
def fast():
    return NumpyBackend()


def angles_of(n, seed=0, span=180):
    """Angles that no grid holds: at 30 or 60 degrees, say, two samples are equally near, and rounding decides."""
    return np.sort(np.random.default_rng(seed).uniform(0, span, n))


def lines_of(n_angles, n, rows=1, seed=1):
    return np.random.default_rng(seed).normal(size=(n_angles, rows, n))


def compare(got, wanted):
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= OF_LARGEST * np.abs(wanted).max()


def by_scikit_image(projections, angles, **options):
    return iradon(projections[:, 0].T, angles, **options)


@pytest.mark.parametrize("circle", [True, False], ids=["circle", "square"])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("name", FILTERS)
def test_it_is_scikit_images_reconstruction(name, interpolation, circle, fast):
    """Even and odd detectors, few and many angles, sizes below, at and above the detector's; white noise."""
    for n, n_angles, size in ((16, 2, None), (33, 7, 25), (64, 40, 90), (101, 13, None)):
        angles, projections = angles_of(n_angles, n), lines_of(n_angles, n, seed=n)
        beam = ParallelBeam(
            angles_deg=angles, filter=name, interpolation=interpolation, circle=circle,
            output_size=size or "scikit-image",
        )  # fmt: skip
        wanted = by_scikit_image(
            projections, angles, filter_name=None if name == "none" else name, interpolation=interpolation,
            circle=circle, output_size=size,
        )  # fmt: skip
        compare(reconstruct(projections, beam, fast)[0], wanted)


@pytest.mark.parametrize("span", [(0, 90), (-45, 45), (180, 540), (350, 10)])
def test_other_ranges_of_angles(span, fast):
    angles, projections = np.linspace(*span, 37) + 0.123, lines_of(37, 50)
    compare(reconstruct(projections, ParallelBeam(angles_deg=angles), fast)[0], by_scikit_image(projections, angles))


def test_right_angles(fast):
    """Places are whole pixels up to rounding: both programs must see the same ones."""
    angles, projections = (0, 90, 180, 270), lines_of(4, 31)
    compare(reconstruct(projections, ParallelBeam(angles_deg=angles), fast)[0], by_scikit_image(projections, angles))


def test_a_wrong_filter_is_told_from_the_right_one(fast):
    """Negative control: the tolerance is far below what a window changes."""
    angles, projections = angles_of(40), lines_of(40, 64)
    got = reconstruct(projections, ParallelBeam(angles_deg=angles, filter="hann"), fast)[0]
    with pytest.raises(AssertionError):
        compare(got, by_scikit_image(projections, angles, filter_name="hamming"))


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_backend_gives_the_same_bits(backend, interpolation):
    beam = ParallelBeam(angles_deg=angles_of(9), interpolation=interpolation)
    projections = lines_of(9, 24, rows=6)
    wanted = reconstruct(projections, beam, NumpyBackend(jit=False))
    assert reconstruct(projections, beam, backend).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("planes", [1, 5, 19])
def test_the_compiled_loop_is_the_plain_twin(taps, planes):
    """Several tiles and chunks of angles; planes for a short vector, a long one, and one of either."""
    plan = plan_of(np.arange(21) * 8.6, 50, 71, taps, centre=21.3)
    every = np.full(71, 71, np.int32)
    for made in (plan, replace(plan, left=every * 0, right=every)):
        projections = noise(made, planes)
        wanted = NumpyBackend(jit=False).backproject(projections, made)
        for threads in (1, 2):
            assert NumpyBackend(threads=threads).backproject(projections, made).tobytes() == wanted.tobytes()


def test_views_and_read_only_arrays_are_as_good(fast):
    plan = plan_of(np.arange(6) * 8.6, 50, 20, 2)
    projections, wide = noise(plan, 2), np.repeat(plan.starts, 2)
    projections.flags.writeable = plan.left.flags.writeable = False
    wanted = NumpyBackend(jit=False).backproject(projections, plan)
    assert fast.backproject(projections, replace(plan, starts=wide[::2])).tobytes() == wanted.tobytes()


def test_a_part_of_the_detector_gives_its_part_of_the_volume(fast):
    beam = ParallelBeam(angles_deg=angles_of(12), filter="hann")
    projections = lines_of(12, 40, rows=35)
    whole = reconstruct(projections, beam, fast)
    for rows in (slice(3, 9), slice(16, 17), slice(20, 35)):
        assert reconstruct(projections[:, rows], beam, fast).tobytes() == whole[rows].tobytes()


@pytest.mark.parametrize("options", [{}, {"interpolation": "cubic"}, {"circle": False, "output_size": 400}], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_memory_is_foretold(options, dtype, fast):
    """What is allocated at most, beside projections and volume, is below the forecast and not far below."""
    beam = ParallelBeam(angles_deg=angles_of(300), **options)
    projections = lines_of(300, 200, rows=40).astype(dtype)
    reconstruct(projections[:, :20, :], beam, fast)  # compiled, or read from disk
    tracemalloc.start()
    try:
        volume = reconstruct(projections, beam, fast)
        peak = tracemalloc.get_traced_memory()[1] - volume.nbytes
    finally:
        tracemalloc.stop()
    foretold = reconstruction_bytes(beam, 200, dtype)
    assert 0.6 * foretold < peak <= foretold


def test_integers_are_taken_as_they_are(fast):
    beam, counts = ParallelBeam(angles_deg=angles_of(5)), np.random.default_rng(3).integers(0, 65536, (5, 2, 20))
    wanted = reconstruct(counts.astype(np.float64), beam, fast)
    assert reconstruct(counts.astype(np.uint16), beam, fast).tobytes() == wanted.tobytes()


def test_the_centre_moves_the_projections(fast):
    """A centre three pixels further is an object that is seen three pixels further."""
    angles, projections = angles_of(30), lines_of(30, 60)
    projections[..., :5] = projections[..., -5:] = 0
    beam = ParallelBeam(angles_deg=angles)
    moved = reconstruct(np.roll(projections, 3, axis=2), beam.changed(centre_px=33.0), fast)[0]
    compare(moved, by_scikit_image(projections, angles))


def test_a_disc_has_its_density_back(fast):
    """The line integrals of a disc of 0.02 a pixel around a point right of and above the axis, centre 40.3."""
    angles = np.arange(0, 180, 0.5)
    turn = np.deg2rad(angles)[:, None]
    off = np.arange(91) - 40.3 - (9 * np.cos(turn) + 6 * np.sin(turn))
    projections = 0.02 * 2 * np.sqrt(np.maximum(12**2 - off**2, 0))
    image = reconstruct(projections[:, None], ParallelBeam(angles_deg=angles, centre_px=40.3), fast)[0]
    away = np.hypot(*(np.mgrid[:91, :91] - np.array([45 - 6, 45 + 9])[:, None, None]))
    assert abs(image[away < 9].mean() - 0.02) < 2e-4
    assert abs(image[(away > 15) & (away < 25)].mean()) < 2e-4


def by_matlab(projections, degrees, name, d, size):
    """What MATLAB documents of `iradon`: its filter, its middle pixels, y upwards; straight lines between samples."""
    n_angles, n = projections.shape
    order = max(64, 2 ** math.ceil(math.log2(2 * n)))
    k = np.arange(order // 2 + 1)
    kernel = np.where(k % 2 == 1, -1 / (np.pi * np.maximum(k, 1)) ** 2, 0.0)
    kernel[0] = 0.25
    response = 2 * np.fft.fft(np.concatenate([kernel, kernel[-2:0:-1]])).real[: order // 2 + 1]
    w = 2 * np.pi * k / order
    with np.errstate(divide="ignore", invalid="ignore"):
        window = {
            "ramp": np.ones_like(w), "cosine": np.cos(w / (2 * d)),
            "shepp-logan": np.where(k > 0, np.sin(w / (2 * d)) / (w / (2 * d)), 1),
            "hamming": 0.54 + 0.46 * np.cos(w / d), "hann": (1 + np.cos(w / d)) / 2,
        }[name]  # fmt: skip
    response = response * window * (w <= np.pi * d)
    filtered = np.fft.irfft(np.fft.rfft(projections, order, axis=1) * response, order, axis=1)[:, :n]
    middle = (size + 1) // 2
    x, y = np.arange(1, size + 1) - middle, (middle - np.arange(1, size + 1))[:, None]
    image, places = np.zeros((size, size)), np.arange(1, n + 1) - math.ceil(n / 2)
    for line, angle in zip(filtered, np.deg2rad(degrees), strict=True):
        image += np.interp(x * np.cos(angle) + y * np.sin(angle), places, line, left=0, right=0)
    return image * np.pi / (2 * n_angles)


@pytest.mark.parametrize("d", [1.0, 0.85, 0.4])
@pytest.mark.parametrize("name", FILTERS[:-1])
def test_matlabs_conventions(name, d, fast):
    """Its formulas to rounding; raised cosines are sampled as scikit-image's are, half a step of frequency off."""
    for n in (64, 81):
        angles, projections = angles_of(31), lines_of(31, n)
        beam = ParallelBeam.matlab(tuple(angles), n, filter=name, frequency_scaling=d)
        wanted = by_matlab(projections[:, 0], angles, name, d, 2 * math.floor(n / (2 * math.sqrt(2))))
        got = reconstruct(projections, beam, fast)[0]
        assert got.shape == wanted.shape
        limit = 2e-2 if name in ("hamming", "hann") else OF_LARGEST
        assert np.abs(got - wanted).max() <= limit * np.abs(wanted).max()


@pytest.mark.parametrize(("name", "constant"), [("hamming", 0.54), ("hann", 0.5)])
def test_raised_cosines_come_to_matlabs_formula(name, constant):
    """With the points of the transform the half step of frequency goes, for any scaling."""
    for d in (1.0, 0.5):
        errors = []
        for points in (64, 512, 4096):
            w = 2 * np.pi * np.arange(points // 2 + 1) / points
            wanted = frequency_response(points, "ramp", d) * (constant + (1 - constant) * np.cos(w / d))
            errors.append(np.abs(frequency_response(points, name, d) - wanted).max())
        assert errors[0] > 4 * errors[1] > 16 * errors[2]
        assert errors[2] < 1e-3


def test_frequencies_above_the_scaling_are_cut_off():
    for name in FILTERS[:-1]:
        response = frequency_response(128, name, 0.25)
        assert (response[17:] == 0).all()
        assert (response[1:16] > 0).all()


def test_output_sizes():
    """MATLAB's formula, scikit-image's two, the detector's width, any number."""
    for n in (1, 2, 63, 64, 1023, 1024, 2048):
        of = ParallelBeam(angles_deg=(0, 1), circle=False)
        assert of.changed(output_size="matlab").size(n) == 2 * math.floor(n / (2 * math.sqrt(2)))
        assert of.size(n) == int(np.floor(np.sqrt(n**2 / 2.0)))
        assert of.changed(circle=True).size(n) == of.changed(output_size="detector").size(n) == n
        assert of.changed(output_size=77).size(n) == 77


@pytest.mark.parametrize("length", [1, 31, 32, 33, 724, 1449])
def test_transforms_are_as_long_as_scikit_images(length):
    assert transform_points(length) == max(64, int(2 ** np.ceil(np.log2(2 * length))))


def test_a_beam_is_data():
    beam = ParallelBeam(angles_deg=(0, 45.5), filter="hann", output_size=12, centre_px=3.5, axis_px=2.0, circle=False)
    assert ParallelBeam.from_dict(beam.to_dict()) == beam == eval(repr(beam))


WRONG_BEAMS = {
    "2 are": ({"angles_deg": (0.0,)}, "1 projections cannot be reconstructed"),
    "NaN": ({"angles_deg": (0.0, np.nan)}, "an angle of the projections is not finite"),
    "filter": ({"filter": "hanning"}, "filter is 'hanning'; it must be one of ramp"),
    "interpolation": ({"interpolation": "spline"}, "interpolation is 'spline'"),
    "scaling": ({"frequency_scaling": 0.0}, "frequency_scaling is 0.0"),
    "scaling above": ({"frequency_scaling": 1.1}, "frequency_scaling is 1.1"),
    "size": ({"output_size": 0}, "output_size is 0"),
    "size's name": ({"output_size": "full"}, "output_size is 'full'"),
    "centre": ({"centre_px": 20.0}, "centre_px = 20, lies outside the detector of 20 pixels"),
    "centre below": ({"centre_px": -0.1}, "lies outside the detector"),
    "centre NaN": ({"centre_px": np.nan}, "lies outside the detector"),
    "axis": ({"axis_px": 20.0}, "axis_px = 20 lies outside an image of 20"),
}


@pytest.mark.parametrize("name", WRONG_BEAMS)
def test_a_geometry_that_cannot_be_is_refused(name, fast):
    change, words = WRONG_BEAMS[name]
    with pytest.raises(ConfigError, match=words):
        reconstruct(lines_of(2, 20), ParallelBeam(**({"angles_deg": (0.0, 90.0)} | change)), fast)


@pytest.mark.parametrize(
    ("projections", "words"),
    [
        (np.zeros((3, 2, 8)), "there are 3 projections and 2 angles; .* axes must be"),
        (np.zeros((2, 8)), "have the shape .2, 8.; the axes must be .angle, detector row"),
        (np.zeros((2, 0, 8)), "no pixels"),
        (np.zeros((2, 1, 8), complex), "projections are complex128"),
        (np.full((2, 1, 8), [[[0.0]], [[np.inf]]]), "projection 1 holds values that are not finite"),
    ],
)
def test_projections_that_cannot_be_are_refused(projections, words, fast):
    for use in (reconstruct, find_centre):
        with pytest.raises(InputError, match=words):
            use(projections, ParallelBeam(angles_deg=(0.0, 90.0)), fast)


def test_cubic_needs_four_pixels(fast):
    beam = ParallelBeam(angles_deg=(0.0, 90.0), interpolation="cubic")
    with pytest.raises(ConfigError, match="3 pixels of a projection are too few for 'cubic'"):
        reconstruct(np.ones((2, 1, 3)), beam, fast)


def frames(seed=4):
    rng = np.random.default_rng(seed)
    dark, light = rng.normal(100, 2, (3, 5, 7)), rng.uniform(500, 900, (5, 7))
    return dark, dark.mean(0) + light * rng.uniform(0.98, 1.02, (4, 1, 1)), light


def test_attenuation_is_minus_the_logarithm_of_the_transmission():
    dark, flat, _ = frames()
    raw = np.random.default_rng(5).integers(150, 900, (6, 5, 7)).astype(np.uint16)
    made = attenuation(raw, dark=dark, flat=flat)
    wanted = -np.log((raw - dark.mean(0)) / (flat.mean(0) - dark.mean(0)))
    assert made.values.dtype == np.float32
    np.testing.assert_allclose(made.values, wanted, rtol=1e-6, atol=1e-7)
    assert made.clipped == 0


def test_what_is_opaque_is_clipped_and_counted():
    dark, flat, light = frames()
    raw = np.stack([dark.mean(0) + light] * 2)
    raw[1, 2, 3:6] = dark.mean(0)[2, 3:6] + [0, -50, 1e-6]
    made = attenuation(raw, dark=dark, flat=flat, least_transmission=1e-3)
    assert made.clipped == 3
    np.testing.assert_allclose(made.values[1, 2, 3:6], -np.log(1e-3), rtol=1e-6)


def test_emitted_light_keeps_its_scale():
    dark, flat, _ = frames()
    raw = np.random.default_rng(6).uniform(80, 900, (2, 5, 7))
    plain = attenuation(raw, dark=dark, logarithm=False)
    np.testing.assert_allclose(plain.values, raw - dark.mean(0), rtol=1e-5, atol=1e-4)
    even = attenuation(raw, dark=dark[0], flat=flat[0], logarithm=False)
    np.testing.assert_allclose(even.values, (raw - dark[0]) / (flat[0] - dark[0]), rtol=1e-5, atol=1e-6)
    assert attenuation(raw, logarithm=False).values.tobytes() == raw.astype(np.float32).tobytes()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"flat": None}, ConfigError, "the logarithm needs a flat field"),
        ({"least_transmission": 0.0}, ConfigError, "least_transmission is 0.0"),
        ({"flat": np.full((5, 8), 9.0)}, InputError, r"flat frames have the shape \(5, 8\); a projection has \(5, 7\)"),
        ({"dark": np.full((1, 1, 5, 7), 9.0)}, InputError, "dark frames have the shape"),
        ({"dark": np.zeros((0, 5, 7))}, InputError, "dark frames have the shape"),
        ({"flat": np.full((5, 7), np.nan)}, InputError, "flat frames hold values that are not finite"),
        ({"dark": np.full((5, 7), 1e4)}, InputError, "not above the dark level at 35 pixels, the first in row 0, col"),
        ({"projections": np.zeros((5, 7))}, InputError, "the axes must be"),
        ({"projections": np.full((2, 5, 7), np.nan)}, InputError, "projection 0 holds values that are not finite"),
    ],
)
def test_frames_that_cannot_be_are_refused(change, kind, words):
    dark, flat, _ = frames()
    given = {"projections": np.full((2, 5, 7), 300.0), "dark": dark, "flat": flat} | change
    with pytest.raises(kind, match=words):
        attenuation(given.pop("projections"), **given)


def fiji_stretch(volume, percent):
    """ImageJ's loops over the histogram of a stack, as they stand in ContrastEnhancer and TypeConverter."""
    low, high = float(volume.min()), float(volume.max())
    codes = [int((float(v) - low) * (65535 / (high - low)) + 0.5) for v in volume.ravel()]
    histogram = np.bincount(codes, minlength=65536)
    allowed, ends = int(volume.size * percent / 200), []
    for order in (range(65536), range(65535, -1, -1)):
        count = 0
        for code in order:
            count += histogram[code]
            if count > allowed:
                ends.append(code)
                break
    first, last = ends
    made = [0 if c <= first else 65535 if c >= last else int((c - first) / (last - first) * 65535) for c in codes]
    return np.array(made, np.uint16).reshape(volume.shape), ends


@pytest.mark.parametrize("percent", [0.0, 0.35, 5.0, 60.0])
def test_the_stretch_is_fijis(percent):
    volume = np.random.default_rng(7).gamma(3, 0.01, (3, 17, 29)).astype(np.float32)
    made, (wanted, ends) = contrast_stretch(volume, percent), fiji_stretch(volume, percent)
    assert made.volume.tobytes() == wanted.tobytes()
    unit = (made.maximum - made.minimum) / 65535
    assert np.allclose([made.low, made.high], made.minimum + np.array(ends) * unit)
    assert (made.minimum, made.maximum) == (float(volume.min()), float(volume.max()))
    assert max(made.below, made.above) <= volume.size * percent / 200


def test_the_stretch_of_codes_that_are_16_bit_already():
    counts = np.random.default_rng(8).integers(0, 65536, (2, 30, 40)).astype(np.uint16)
    counts[0, 0, :2] = 0, 65535
    made = contrast_stretch(counts, 0.0)
    assert made.volume.tobytes() == counts.tobytes()
    assert (made.low, made.high, made.below, made.above) == (0, 65535, 0, 0)


@pytest.mark.parametrize(
    ("volume", "percent", "kind", "words"),
    [
        (np.ones((2, 3, 4)), 0.35, InputError, "all values of the volume are 1"),
        (np.full((1, 3, 4), [0, 1, 2, np.nan]), 0.35, InputError, "not finite"),
        (np.zeros((0, 3, 4)), 0.35, InputError, "no pixels"),
        (np.eye(3), 100.0, ConfigError, "saturated_percent is 100"),
    ],
)
def test_what_cannot_be_stretched_is_refused(volume, percent, kind, words):
    with pytest.raises(kind, match=words):
        contrast_stretch(volume, percent)


def ellipses(degrees, n, centre):
    """The line integrals of a few ellipses, with white noise of 0.5 (5 % or so of a typical one), in two rows."""
    t, turn, lines = np.arange(n) - centre, np.deg2rad(degrees)[:, None], 0
    for x, y, a, b, tilt, value in ((0, 0, 40, 30, 0.3, 1), (15, 5, 6, 4, 1, 0.8), (-12, -8, 5, 9, 0.2, -0.5)):
        squared = (a * np.cos(turn - tilt)) ** 2 + (b * np.sin(turn - tilt)) ** 2
        off = t - x * np.cos(turn) - y * np.sin(turn)
        lines = lines + value * 2 * a * b * np.sqrt(np.maximum(squared - off**2, 0)) / squared
    return lines[:, None] + np.random.default_rng(9).normal(0, 0.5, (len(turn), 2, n))


@pytest.mark.parametrize("centre", [58.81, 63.0, 66.37])
@pytest.mark.parametrize(
    ("degrees", "method"),
    [(np.arange(181), "mirror"), (np.arange(0, 360, 2), "mirror"), (np.arange(180), "score")],
    ids=["both ends", "whole turn", "half turn"],
)
def test_the_centre_is_found(degrees, method, centre, fast):
    found = find_centre(ellipses(degrees, 128, centre), ParallelBeam(angles_deg=degrees), fast)
    assert found.method == method
    assert abs(found.centre_px - centre) < 0.2
    assert found.tried.shape == found.scores.shape
    if method == "score":
        assert found.scores.min() == found.scores[np.abs(found.tried - found.centre_px).argmin()]
    else:
        assert 0.5 < found.scores.min() <= found.scores.max() <= 1


def test_a_whole_turn_is_searched_by_half_of_it(fast):
    degrees = np.arange(0, 360, 1.0)
    found = find_centre(ellipses(degrees, 128, 66.37), ParallelBeam(angles_deg=degrees), fast, method="score")
    assert abs(found.centre_px - 66.37) < 0.2


@pytest.mark.parametrize("mode", ["emission", "absorption"])
def test_a_phantom_has_its_density_back(mode, fast):
    """From the light of a simulated scan with its flat and dark frames, its centre found from it, to known density."""
    scene = opt_phantom(64, 3, scan=OptScan(mode=mode, n_angles=240, offset_px=2.4))
    frames = [scene.expected_electrons(), scene.dark(), scene.flat()]
    lines = attenuation(frames[0], dark=frames[1], flat=frames[2], logarithm=mode == "absorption").values
    beam = ParallelBeam(angles_deg=scene.scan.angles_deg)
    found = find_centre(lines, beam, fast)
    assert abs(found.centre_px - scene.centre_px) < 0.05
    volume = reconstruct(lines, beam.changed(centre_px=found.centre_px), fast) / scene.voxel_value
    truth = scene.density()
    assert np.corrcoef(volume.ravel(), truth.ravel())[0, 1] > 0.99
    assert abs((volume * truth).sum() / (truth**2).sum() - 1) < 0.03
    assert np.corrcoef(volume[:, ::-1].ravel(), truth.ravel())[0, 1] < 0.95  # negative control: upside down


def test_a_search_that_cannot_succeed_says_so(fast):
    degrees = np.arange(0, 170, 2.0)
    lines, beam = ellipses(degrees, 128, 58.81), ParallelBeam(angles_deg=degrees)
    with pytest.raises(InputError, match="lies at an end of those that were tried; start nearer"):
        find_centre(lines, beam, fast, bracket_px=2)
    with pytest.raises(InputError, match="no two projections are 180 degrees apart"):
        find_centre(lines, beam, fast, method="mirror")
    with pytest.raises(ConfigError, match="method is 'entropy'"):
        find_centre(lines, beam, fast, method="entropy")
    with pytest.raises(ConfigError, match=r"bracket_px is 0\.5"):
        find_centre(lines, beam, fast, bracket_px=0.5)
    with pytest.raises(InputError, match="the same value everywhere"):
        find_centre(np.ones((2, 1, 20)), ParallelBeam(angles_deg=(0, 180)), fast)


@pytest.mark.data
def test_a_real_tooth(shared_data, fast):
    """181 X-ray projections, both rows: scikit-image's image; a centre that two ways of finding it agree about."""
    import h5py

    with h5py.File(shared_data / "xray-tooth/tooth.h5") as file:
        data, dark, flat, angles = (
            file[f"exchange/{name}"][()] for name in ("data", "data_dark", "data_white", "theta")
        )
    lines = attenuation(data, dark=dark, flat=flat)
    assert lines.clipped == 0
    beam = ParallelBeam(angles_deg=angles)
    volume = reconstruct(lines.values, beam, fast)
    for plane, row in zip(volume, np.moveaxis(lines.values, 1, 0), strict=True):
        compare(plane, iradon(row.T.astype(np.float64), angles))
    found = find_centre(lines.values, beam.changed(centre_px=297.0), fast, bracket_px=4)
    assert 295.5 < found.centre_px < 297
    # The last projection is one step short of half a turn: nearly the first one turned round.
    nearly = beam.changed(angles_deg=(0, 180))
    opposite = find_centre(lines.values[[0, -1]], nearly, fast, method="mirror")
    assert abs(opposite.centre_px - found.centre_px) < 2
