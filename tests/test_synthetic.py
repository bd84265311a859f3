"""Simulated scenes, camera, calibration frames and annotations."""

import numpy as np
import pytest
from scipy import ndimage

from compdistort.errors import ConfigError
from compdistort.sensor.frames import make_frames
from compdistort.sensor.ptc import fit_photon_transfer_curve
from compdistort.synthetic import SimulatedCamera, annotations, expose, flat_series, scene
from compdistort.synthetic.optics import PhaseContrast
from compdistort.synthetic.strokes import TRAIN_PART

EIGHT = np.ones((3, 3), bool)


@pytest.fixture(scope="module", params=["spheres", "confluent"])
def made(request):
    return scene(request.param, 288, seed=3)


def test_a_scene_depends_on_its_seed_alone(made):
    again = scene(made.kind, 288, seed=3)
    assert np.array_equal(made.expected_electrons, again.expected_electrons)
    assert np.array_equal(made.truth_labels, again.truth_labels)
    assert not np.array_equal(made.truth_labels, scene(made.kind, 288, seed=4).truth_labels)


def test_truth_labels_are_separate_connected_objects(made):
    assert made.expected_electrons.dtype == np.float64
    assert made.truth_labels.dtype == np.int32
    assert np.unique(made.truth_labels).tolist() == list(range(made.n_objects + 1))
    for number in range(1, made.n_objects + 1):
        grown = ndimage.binary_dilation(made.truth_labels == number, EIGHT)
        assert set(np.unique(made.truth_labels[grown])) == {0, number}
        assert ndimage.label(made.truth_labels == number, EIGHT)[1] == 1


@pytest.mark.parametrize(("size", "seed"), [(256, 0), (288, 1), (320, 2)])
def test_spheres_are_many_small_and_well_separated(size, seed):
    """What the validation needs: 50 or more objects of 100 to 250 px, none cut by the border."""
    made = scene("spheres", size, seed)
    areas = np.bincount(made.truth_labels.ravel())[1:]
    assert 45 <= made.n_objects <= 76
    assert areas.min() >= 90
    assert areas.max() <= 260
    assert made.truth_mask.mean() < 0.15
    edge = np.concatenate([made.truth_labels[[0, -1]].ravel(), made.truth_labels[:, [0, -1]].ravel()])
    assert not edge.any()
    apart = ndimage.distance_transform_edt(~made.truth_mask)
    assert apart.max() > 15


def test_confluent_cells_are_large_and_dense():
    made = scene("confluent", 288, 1)
    areas = np.bincount(made.truth_labels.ravel())[1:]
    assert 30 <= made.n_objects <= 80
    assert np.median(areas) > 600
    assert 0.6 < made.truth_mask.mean() < 0.9


def test_scenes_look_like_positive_phase_contrast(made):
    """Objects are darker, the ring around them brighter than empty background; the background is that of the lamp."""
    relative = made.expected_electrons / made.illumination_electrons
    inside = ndimage.binary_erosion(made.truth_mask, iterations=2)
    outside = ndimage.distance_transform_edt(~made.truth_mask)
    assert np.median(relative[inside]) < 0.9
    assert np.median(relative[(outside > 2) & (outside < 5)]) > 1.1
    assert np.median(relative[outside > 18]) == pytest.approx(1, abs=0.05)
    assert relative.min() > 0


def test_phase_contrast_of_nothing_is_even_and_of_a_thin_object_is_dark():
    optics = PhaseContrast()
    assert optics.image(np.full((40, 40), 0.3)) == pytest.approx(1.0)
    phase = np.zeros((80, 80))
    phase[36:44, 36:44] = 0.2
    image = optics.image(phase)
    assert image[40, 40] < 0.8
    assert image[40, 50] > 1.02


def test_exposures_have_the_camera_s_mean_and_variance():
    """Null: mean offset + e / g, variance (e + r^2) / g^2 + 1/12 at every pixel; n = 400, alpha = 1e-4, seed 6.

    Sums of squared z over 64 x 64 pixels, chi-square. Control: another camera with 10 % more gain.
    """
    from scipy.stats import chi2

    camera = SimulatedCamera(prnu=0.02, gain_e_per_dn=0.8, read_noise_e=3.0)
    made = scene("spheres", 64, 1)
    images = np.stack([expose(made, camera, 6, k) for k in range(400)]).astype(np.float64)
    assert images.max() < 65535
    electrons = made.expected_electrons * camera.sensitivity(made.expected_electrons.shape)
    p = []
    for gain in (0.8, 0.88):
        variance = (electrons + 9) / gain**2 + 1 / 12
        z = (images.mean(axis=0) - 240 - electrons / gain) / np.sqrt(variance / 400)
        z_variance = (images.var(axis=0, ddof=1) / variance - 1) / np.sqrt(2 / 399)
        p.append([chi2.sf((each**2).sum(), each.size) for each in (z, z_variance)])
    assert min(p[0]) > 1e-4
    assert max(p[1]) < 1e-4


def test_exposures_differ_and_repeat():
    made, camera = scene("spheres", 64, 1), SimulatedCamera()
    first = expose(made, camera, 2, 0)
    assert first.dtype == np.uint16
    assert np.array_equal(first, expose(made, camera, 2, 0))
    assert not np.array_equal(first, expose(made, camera, 2, 1))
    assert not np.array_equal(first, expose(made, camera, 3, 0))


def test_the_fixed_pattern_belongs_to_the_camera():
    camera = SimulatedCamera(prnu=0.05)
    pattern = camera.sensitivity((200, 200))
    assert np.array_equal(pattern, SimulatedCamera(prnu=0.05).sensitivity((200, 200)))
    assert not np.array_equal(pattern, SimulatedCamera(prnu=0.05, pattern_seed=2).sensitivity((200, 200)))
    assert pattern.std() == pytest.approx(0.05, rel=0.02)


def test_a_bright_scene_is_clipped():
    camera = SimulatedCamera(bits=12, gain_e_per_dn=0.25)
    flats = flat_series(camera, (100.0, 5000.0), (32, 32), seed=1)
    assert (flats.flat_a[1] == 4095).all()
    assert flats.flat_a[0].max() < 4095


def test_flats_calibrate_to_the_true_sensor():
    """Another engineer's fit, from frames alone, finds the camera again: gain to 1 %, read noise to 5 %, seed 4."""
    camera = SimulatedCamera()
    series = flat_series(camera, tuple(np.geomspace(100, 20_000, 12)), (128, 128), seed=4, n_darks=2)
    frames = make_frames((series.flat_a, series.flat_b), (series.dark_a, series.dark_b))
    region = fit_photon_transfer_curve(frames).model.regions[0]
    truth = camera.sensor().regions[0]
    assert region.gain_e_per_dn == pytest.approx(truth.gain_e_per_dn, rel=0.01)
    assert region.offset_dn == pytest.approx(truth.offset_dn, abs=0.1)
    assert region.read_noise_e == pytest.approx(truth.read_noise_e, rel=0.05)


def test_annotations_are_sparse_true_and_split(made):
    train, held_out = annotations(made, 3)
    border = round(TRAIN_PART * 288)
    assert not train[:, border:].any()
    assert not held_out[:, :border].any()
    for image, least in ((train, 300), (held_out, 150)):
        assert image.dtype == np.uint8
        assert made.truth_mask[image == 2].all()
        assert not made.truth_mask[image == 1].any()
        counts = np.bincount(image.ravel(), minlength=3)
        assert counts.size == 3
        assert min(counts[1:]) > least
        assert counts[1:].sum() < 0.06 * image.size
    assert np.array_equal(train, annotations(made, 3).train)
    assert not np.array_equal(train, annotations(made, 4).train)
    assert annotations(made, 3, strokes=10).train.astype(bool).sum() < train.astype(bool).sum()


def test_unusable_scenes_and_cameras_are_refused():
    with pytest.raises(ConfigError, match="spheres, confluent"):
        scene("cells")
    with pytest.raises(ConfigError, match="64 pixels"):
        scene("spheres", 32)
    with pytest.raises(ConfigError, match="no camera"):
        SimulatedCamera(bits=8)
