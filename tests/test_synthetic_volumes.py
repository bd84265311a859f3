"""Simulated light-sheet volumes and tomography scans: truth, statistics, closed forms, pieces made by themselves."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from scipy.integrate import dblquad, quad
from scipy.spatial import cKDTree
from skimage.transform import iradon

from compdistort.errors import ConfigError
from compdistort.synthetic import (
    LightSheet,
    NucleiLaw,
    OptScan,
    PlaqueLaw,
    SimulatedCamera,
    expose_frames,
    light_sheet,
    opt_phantom,
    plane_annotations,
)
from compdistort.synthetic.ellipsoids import Ellipsoids, project
from compdistort.synthetic.fields import SmoothField, scene_key
from compdistort.synthetic.nuclei import Nuclei, draw_nuclei, number_nuclei, plane_light, plane_owners
from compdistort.synthetic.strokes import TRAIN_PART

VOXEL = (6.0, 1.62, 1.62)
SHAPE = (14, 40, 56)
N = 64
DENSE = NucleiLaw(per_mm3=220_000, touching=0.5)


@pytest.fixture(scope="module")
def sheet():
    return light_sheet(SHAPE, seed=3, law=DENSE)


@pytest.fixture(scope="module")
def block():
    return light_sheet((64, 96, 96), seed=5)


@pytest.fixture(scope="module")
def phantom():
    return opt_phantom(N, seed=2, scan=OptScan(n_angles=100))


@pytest.fixture(scope="module")
def integrals(phantom):
    return phantom.line_integrals()


# --- pieces -----------------------------------------------------------------------------------------------------------


@given(st.tuples(st.integers(0, SHAPE[0]), st.integers(0, SHAPE[0])).filter(lambda pair: pair[0] != pair[1]))
@settings(max_examples=25, deadline=None)
def test_planes_are_the_same_in_any_range(sheet, pair):
    """To the bit; neighbouring planes differ, so a shifted range would be seen."""
    z0, z1 = sorted(pair)
    for made in (sheet.expected_electrons, sheet.truth_labels, sheet.regions):
        whole, piece = made(), made(z0, z1)
        assert whole.shape == SHAPE
        assert whole.dtype == piece.dtype
        assert np.array_equal(piece, whole[z0:z1])
        assert not any(np.array_equal(a, b) for a, b in pairwise(whole))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (63, 64), (20, 33)])
def test_pieces_of_a_phantom_are_the_same_in_any_range(phantom, integrals, low, high):
    assert np.array_equal(phantom.line_integrals(low, high), integrals[low:high])
    electrons = phantom.scan.light_e * phantom.shading() * phantom.voxel_value * integrals[low:high]
    assert phantom.expected_electrons(low, high) == pytest.approx(phantom.scan.dark_e + electrons)
    for made in (lambda *ends: phantom.density(*ends, samples=1), phantom.truth_labels, phantom.regions):
        assert np.array_equal(made(low, high), made()[low:high])
    assert not np.array_equal(integrals[low], integrals[low - 1])


def test_a_scene_depends_on_its_seed_alone(sheet):
    again, other = (light_sheet(SHAPE, seed=seed, law=DENSE) for seed in (3, 4))
    assert np.array_equal(sheet.expected_electrons(), again.expected_electrons())
    assert np.array_equal(sheet.truth_labels(), again.truth_labels())
    assert not np.array_equal(sheet.truth_labels(), other.truth_labels())
    a, b, c = (opt_phantom(48, seed=seed, scan=OptScan(n_angles=4)) for seed in (1, 1, 2))
    assert np.array_equal(a.expected_electrons(), b.expected_electrons())
    assert np.array_equal(a.truth_labels(), b.truth_labels())
    assert not np.array_equal(a.truth_labels(), c.truth_labels())


def test_frames_are_exposed_by_number(sheet):
    camera = SimulatedCamera()
    whole = np.stack(list(expose_frames(sheet.frames(), camera, 7)))
    piece = np.stack(list(expose_frames(sheet.frames(5, 9), camera, 7, first=5)))
    assert whole.dtype == np.uint16
    assert np.array_equal(piece, whole[5:9])
    for other in ({"seed": 8}, {"seed": 7, "exposure_index": 1}, {"seed": 7, "first": 1}):
        assert not np.array_equal(whole[0], next(expose_frames(sheet.frames(0, 1), camera, **other)))


# --- smooth fields ----------------------------------------------------------------------------------------------------


def test_a_field_is_the_same_at_places_and_in_planes():
    field = SmoothField(key=scene_key(1, 9), length_vox=(2.5, 6.0, 0.7))
    planes = np.stack(list(field.planes((5, 11, 13), 0, 5)))
    places = np.argwhere(np.ones(planes.shape)).astype(np.float64)
    assert np.abs(field.at(places).reshape(planes.shape) - planes).max() < 1e-12


def test_fields_have_mean_0_and_variance_1_everywhere():
    """Null: both, at independent places (4 nodes apart) at every phase of the lattice; n = 4096, alpha = 1e-4, seed 5.

    Control: the same field 10 % stronger.
    """
    grid = np.stack(np.meshgrid(*[np.arange(16.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    places = 4 * grid + np.random.default_rng(5).uniform(0, 1, grid.shape)
    values = SmoothField(key=scene_key(5, 1), length_vox=(1.0, 1.0, 1.0)).at(places)

    def p_value(x):
        squares = stats.ttest_1samp(x**2, 1.0).pvalue
        return min(stats.ttest_1samp(x, 0.0).pvalue, squares)

    assert p_value(values) > 1e-4
    assert p_value(1.1 * values) < 1e-4


def test_purposes_of_a_scene_do_not_share_numbers():
    keys = {scene_key(seed, purpose) for seed in (0, 1, 2**63) for purpose in range(1, 12)}
    assert len(keys) == 33


# --- nuclei -----------------------------------------------------------------------------------------------------------


def _relative(nuclei, shape):
    """The plain definition: squared relative radius of every voxel in every nucleus, (n, planes, rows, columns)."""
    z, y, x = (g * s for g, s in zip(np.indices(shape), VOXEL, strict=True))
    out = []
    for (cz, cy, cx), (axial, major, minor), turn in zip(nuclei.centres, nuclei.semi_um, nuclei.turn, strict=True):
        dz, dy, dx = z - cz * VOXEL[0], y - cy * VOXEL[1], x - cx * VOXEL[2]
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        out.append((along / major) ** 2 + (across / minor) ** 2 + (dz / axial) ** 2)
    return np.stack(out)


def test_truth_is_the_nucleus_that_a_voxel_lies_deepest_in(sheet):
    """Against every voxel in every nucleus. Some overlap, so the deepest matters; ids follow their first voxels."""
    radius = _relative(sheet.nuclei, SHAPE)
    inside = radius.min(axis=0) <= 1
    assert ((radius <= 1).sum(axis=0) > 1).any()
    expected = np.where(inside, sheet.ids[radius.argmin(axis=0)], 0)
    labels = sheet.truth_labels()
    assert labels.dtype == np.int32
    assert np.array_equal(labels, expected)
    found, first = np.unique(labels[labels > 0], return_index=True)
    assert found.tolist() == list(range(1, sheet.n_objects + 1))
    assert (np.diff(first) > 0).all()
    assert sheet.n_objects > 50


def test_a_nucleus_without_a_voxel_has_no_label():
    centres = np.array([[2.0, 5.5, 5.5], [4.0, 6.0, 9.0]])
    semi = np.array([[6.0, 0.4, 0.4], [6.0, 4.0, 4.0]])
    nuclei = Nuclei(centres, semi, np.zeros(2), np.ones(2))
    assert number_nuclei(nuclei, (8, 16, 16), VOXEL).tolist() == [0, 1]
    pixels, numbers = plane_owners(nuclei, 4, (8, 16, 16), VOXEL)
    assert set(numbers.tolist()) == {1}
    assert 6 * 16 + 9 in pixels


def test_light_of_a_nucleus_is_its_chord_blurred_along_the_normal(sheet):
    """Against numerical integration of the Gaussian over the chord at single pixels, to 1e-9."""
    nuclei, plane, width = sheet.nuclei, 6, 3.6
    light = plane_light(nuclei, plane, SHAPE, VOXEL, width)
    in_plane = _relative(nuclei._replace(semi_um=nuclei.semi_um * [1e9, 1, 1]), (1, *SHAPE[1:]))[:, 0]
    checked = np.argwhere(light > 0.02)[::40]
    assert len(checked) >= 8
    for y, x in checked:
        total = 0.0
        for number in np.flatnonzero(in_plane[:, y, x] < 1):
            away = (plane - nuclei.centres[number, 0]) * VOXEL[0]
            half = nuclei.semi_um[number, 0] * np.sqrt(1 - in_plane[number, y, x])
            if abs(away) <= nuclei.semi_um[number, 0] + 4 * width:
                chord = quad(stats.norm(0, width).pdf, away - half, away + half, epsabs=1e-12)[0]
                total += nuclei.contrast[number] * chord
        assert light[y, x] == pytest.approx(total, abs=1e-9)


def test_truth_has_the_volume_of_the_ellipsoids():
    """Null: voxels of a whole nucleus less its analytic volume have mean 0; n >= 150, alpha = 1e-4, seed 4.

    Control: volumes 5 % larger.
    """
    drawn = draw_nuclei(NucleiLaw(touching=0), (60, 130, 130), VOXEL, scene_key(4, 1))
    middle = np.array([7, 12, 12])
    nuclei = drawn._replace(centres=drawn.centres - np.rint(drawn.centres) + middle)  # each where it fits whole
    counts = (_relative(nuclei, tuple(2 * middle + 1)) <= 1).sum(axis=(1, 2, 3))
    volumes = 4 / 3 * np.pi * nuclei.semi_um.prod(axis=1) / np.prod(VOXEL)
    pixels, _ = plane_owners(nuclei.take(np.array([0])), 7, tuple(2 * middle + 1), VOXEL)
    assert pixels.size == (_relative(nuclei.take(np.array([0])), tuple(2 * middle + 1))[0, 7] <= 1).sum()
    assert counts.size >= 150
    assert stats.ttest_rel(counts, volumes).pvalue > 1e-4
    assert stats.ttest_rel(counts, 1.05 * volumes).pvalue < 1e-4


def _touching_share(law, seed):
    """Nuclei away from the border with a neighbour as near as partners are placed: how many, and of how many."""
    shape = (60, 280, 280)
    nuclei = draw_nuclei(law, shape, VOXEL, scene_key(seed, 1))
    places = nuclei.centres * VOXEL
    radius = np.sqrt(nuclei.semi_um[:, 1] * nuclei.semi_um[:, 2])
    has = np.zeros(len(places), bool)
    for i, j in cKDTree(places).query_pairs(4 * radius.max()):
        step = np.abs(places[i] - places[j])
        both = radius[i] + radius[j]
        has[[i, j]] |= 0.84 * both < np.hypot(step[1], step[2]) < 0.96 * both and step[0] < 0.3 * both
    inside = ((places > 25) & (places < np.array(shape) * VOXEL - 25)).all(axis=1)
    return int(has[inside].sum()), int(inside.sum())


def test_as_many_nuclei_touch_as_asked_for():
    """Null: the share asked for, 0.4, beside the chance share of a scene without pairs; alpha = 1e-4, seed 2.

    n about 900 nuclei, in pairs, so that the standard error is that of half as many. Control: a share of 0.2.
    """
    share, chance = ([*_touching_share(NucleiLaw(touching=t), 2)] for t in (0.4, 0.0))
    measured, n = share[0] / share[1], share[1]
    by_chance = chance[0] / chance[1]
    assert n > 700
    p = []
    for asked in (0.4, 0.2):
        expected = 1 - (1 - asked) * (1 - by_chance)
        p.append(2 * stats.norm.sf(abs(measured - expected) / np.sqrt(2 * expected * (1 - expected) / n)))
    assert p[0] > 1e-4 > p[1]


def test_as_many_nuclei_are_drawn_as_asked_for():
    """The count is the density times the volume, with pairs or without; partners out of the volume are lost: 4 %."""
    shape = (60, 220, 220)
    expected = 20_000 * np.prod(shape) * np.prod(VOXEL) * 1e-9
    for touching in (0.0, 0.12, 1.0):
        nuclei = draw_nuclei(NucleiLaw(touching=touching), shape, VOXEL, scene_key(3, 1))
        assert len(nuclei.centres) == pytest.approx(expected, rel=0.04)
        assert (np.diff(nuclei.centres[:, 0]) >= 0).all()


# --- the light-sheet volume -------------------------------------------------------------------------------------------


def test_a_volume_looks_like_nuclei_in_tissue(block):
    """Dark around, tissue near its stated level, nuclei of 10 to 200 voxels brighter; nuclei lie in tissue only."""
    light, labels, regions = block.expected_electrons(), block.truth_labels(), block.regions()
    empty, tissue = (np.median(light[regions == region]) for region in (1, 2))
    assert empty < 150
    assert 600 < tissue < 1000
    sizes = np.bincount(labels.ravel())[1:]
    brightness = ndimage.mean(light, labels, np.arange(1, block.n_objects + 1))
    assert 80 < block.n_objects < 250
    assert 20 < np.median(sizes) < 80
    assert np.mean(brightness > 1.15 * tissue) > 0.9
    assert 0.03 < np.mean(regions == 1) < 0.4
    assert np.mean(regions == 2) > 0.5
    bare = replace(block, ids=np.zeros_like(block.ids)).regions()
    assert np.mean(bare[labels > 0] == 1) < 0.02


def test_light_is_lost_along_depth_and_sheet():
    """Without stripes and jitter the loss is the stated one: exact along planes, but for the blur along rows."""
    even = LightSheet(stripes=0, jitter=0, depth_loss=0, sheet_loss=0, dark_e=0)
    made = {
        name: light_sheet((9, 40, 40), 1, optics=replace(even, **{name: 0.4})).expected_electrons()
        for name in ("depth_loss", "sheet_loss", "dark_e")
    }
    plain = light_sheet((9, 40, 40), 1, optics=even).expected_electrons()
    assert made["depth_loss"] / plain == pytest.approx(
        np.broadcast_to(0.6 ** (np.arange(9) / 8)[:, None, None], (9, 40, 40))
    )
    ratio = (made["sheet_loss"] / plain)[4, :, 20]
    assert ratio[5:-5] == pytest.approx(0.6 ** (np.arange(40) / 39)[5:-5], rel=0.01)
    assert made["dark_e"] - plain == pytest.approx(0.4)


def test_stripes_run_along_the_rows_and_jitter_along_the_planes():
    base = LightSheet(stripes=0, jitter=0, sheet_loss=0, depth_loss=0, dark_e=0)
    plain, striped, jittery = (
        light_sheet((12, 40, 64), 1, optics=optics).expected_electrons()
        for optics in (base, replace(base, stripes=0.1), replace(base, jitter=0.1))
    )
    shadow = striped / plain
    assert shadow[:, 20].std(axis=1).mean() > 0.04
    assert shadow[:, 10:30].std(axis=1).mean() < 0.01
    planes = jittery / plain
    assert planes.std(axis=(1, 2)).max() < 1e-9
    assert planes.mean(axis=(1, 2)).std() > 0.04


def test_a_wider_psf_spreads_the_same_light():
    """One nucleus, no texture to speak of: the sum over the volume stays, the peak falls."""
    shape = (24, 40, 40)
    nuclei = Nuclei(np.array([[12.0, 20.0, 20.0]]), np.array([[7.0, 5.0, 5.0]]), np.zeros(1), np.ones(1))
    light = [np.stack([plane_light(nuclei, z, shape, VOXEL, width) for z in range(24)]) for width in (2.5, 6.0)]
    assert light[0].sum() == pytest.approx(light[1].sum(), rel=0.01)
    assert light[1].max() < 0.8 * light[0].max()


# --- projections ------------------------------------------------------------------------------------------------------


def _one(semi, axes=None, centre=(15.3, 17.2, 12.1), density=2.0):
    axes = np.eye(3) if axes is None else axes
    return Ellipsoids(np.array([centre]), np.array([semi], float), axes[None], np.array([density]))


def test_the_shadow_of_a_sphere_is_exact():
    """Means over each pixel of 2 sqrt(r^2 - t^2 - z^2) by numerical integration, where no edge cuts a pixel's rows."""
    image = project(_one((6.0, 6.0, 6.0)), 0.0, (32, 32), 16.0, 16)

    def chord(t, z):
        return 4 * np.sqrt(max(36 - (z - 15.3) ** 2 - (t - 12.1) ** 2, 0))

    for z, t in ((15, 12), (13, 9), (18, 14)):
        exact = dblquad(chord, z - 0.5, z + 0.5, t - 0.5, t + 0.5)[0]
        assert image[z, t] == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 33.0, 90.0, 141.5, 270.0])
def test_shadows_of_a_turned_ellipsoid_equal_summed_points(angle):
    """Twin: points of a fine grid counted where MATLAB's and scikit-image's geometry puts them, to 2 % of the peak."""
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
    body = _one((7.0, 4.0, 5.0), turn)
    step = 0.1
    grid = np.arange(5, 27, step) + step / 2
    z, y, x = np.meshgrid(grid, grid, grid, indexing="ij", sparse=True)
    away = [z - 15.3, y - 17.2, x - 12.1]
    form = turn @ np.diag([7.0**-2, 4.0**-2, 5.0**-2]) @ turn.T
    inside = sum(form[i, j] * away[i] * away[j] for i in range(3) for j in range(3)) <= 1
    kz, ky, kx = np.nonzero(inside)
    radians = np.deg2rad(angle)
    t = 16 + (grid[kx] - 16) * np.cos(radians) - (grid[ky] - 16) * np.sin(radians)
    counted = np.zeros((32, 32))
    np.add.at(counted, (np.rint(grid[kz]).astype(int), np.rint(t).astype(int)), 2.0 * step**3)
    image = project(body, angle, (32, 32), 16.0, 16)
    assert np.abs(image - counted).max() < 0.02 * counted.max()
    assert np.abs(project(body, angle + 20, (32, 32), 16.0, 16) - counted).max() > 0.1 * counted.max()


def test_every_projection_holds_the_whole_organ(phantom, integrals):
    """Sum of a projection = sum of volume times density, whatever the angle; half of it out of the detector is not."""
    bodies = phantom.organ.join(phantom.plaques)
    mass = float((bodies.volumes * bodies.density).sum())
    assert integrals.sum(axis=(1, 2)) == pytest.approx(np.full(100, mass), rel=1e-3)
    assert phantom.density().sum() == pytest.approx(mass, rel=2e-3)
    off = opt_phantom(N, seed=2, scan=OptScan(n_angles=2, offset_px=25.0)).line_integrals(0, 1)
    assert off.sum() < 0.9 * mass


def test_opposite_projections_mirror_each_other_about_the_axis():
    scene = opt_phantom(48, seed=1, scan=OptScan(n_angles=12, arc_deg=360.0, offset_px=2.0))
    there, back = scene.line_integrals(1, 2)[0], scene.line_integrals(7, 8)[0]
    axis = int(scene.centre_px)
    assert axis == 26
    span = 21
    mirrored = back[:, axis - span : axis + span + 1][:, ::-1]
    assert there[:, axis - span : axis + span + 1] == pytest.approx(mirrored, abs=1e-9)
    assert np.abs(there - back).max() > 1


def test_an_offset_moves_the_projections():
    still, moved = (opt_phantom(48, seed=1, scan=OptScan(n_angles=3, offset_px=o)).line_integrals() for o in (0.0, 3.0))
    assert moved[:, :, 3:] == pytest.approx(still[:, :, :-3], abs=1e-9)


# --- reconstruction and truth -----------------------------------------------------------------------------------------


def _reconstruct(sinograms, angles):
    return np.stack([iradon(sinograms[:, z].T, angles, circle=True) for z in range(sinograms.shape[1])])


@pytest.mark.parametrize("arc", [180.0, 360.0])
def test_reconstruction_recovers_the_density(arc):
    """scikit-image's `iradon` of noise-free projections, 100 angles, 64 columns.

    Organ without plaques: mean density to 0.5 %. Plaques, softened by the interpolation: 0.85 to 1.02 of theirs. Empty
    space: 0 to 0.02. Control: angles in the opposite sense put plaques elsewhere.
    """
    scene = opt_phantom(N, seed=2, scan=OptScan(n_angles=100, arc_deg=arc))
    planes = slice(20, 44)
    sinograms = scene.line_integrals()[:, planes]
    volume = _reconstruct(sinograms, scene.scan.angles_deg)
    density, regions, labels = scene.density()[planes], scene.regions()[planes], scene.truth_labels()[planes]
    organ = ndimage.binary_erosion(regions == 2, iterations=2)
    empty = ndimage.binary_erosion(regions == 1, iterations=3)
    assert volume[organ].mean() == pytest.approx(density[organ].mean(), rel=0.005)
    assert np.abs(volume[empty]).mean() < 0.02
    sizes = [np.bincount(each.ravel(), minlength=25)[1:] for each in (labels, scene.truth_labels())]
    index = 1 + np.flatnonzero(sizes[0] == sizes[1])  # whole in these planes
    assert index.size >= 5
    ratio = ndimage.mean(volume, labels, index) / ndimage.mean(density, labels, index)
    assert ratio.min() > 0.85
    assert ratio.max() < 1.02
    wrong = _reconstruct(sinograms, -scene.scan.angles_deg)
    assert ndimage.mean(wrong, labels, index).mean() < 0.7 * ndimage.mean(volume, labels, index).mean()


@pytest.mark.parametrize("mode", ["emission", "absorption"])
def test_corrected_frames_are_line_integrals(mode):
    scene = opt_phantom(48, seed=1, scan=OptScan(n_angles=5, mode=mode))
    corrected = (scene.expected_electrons() - scene.dark()) / (scene.flat() - scene.dark())
    path = corrected if mode == "emission" else -np.log(corrected)
    assert path == pytest.approx(scene.voxel_value * scene.line_integrals(), abs=1e-12)
    assert 0.8 <= scene.shading().min() < scene.shading().max() <= 1.05


def test_exposed_and_corrected_projections_are_unbiased(phantom, integrals):
    """Null: mean of (frame - dark) / (flat - dark) less the truth is 0; n = 20 frames, alpha = 1e-4, seed 3.

    Control: frames corrected by the offset alone, so that 20 dark electrons are taken for light.
    """
    camera = SimulatedCamera(prnu=0.0)
    frames = np.stack(list(expose_frames(phantom.frames(0, 20), camera, 3))).astype(np.float64)
    to_e = camera.gain_e_per_dn
    light = (phantom.flat() - phantom.dark()) / to_e
    truth = phantom.voxel_value * integrals[:20]
    p = []
    for dark_e in (phantom.scan.dark_e, 0.0):
        bias = ((frames - camera.offset_dn - dark_e / to_e) / light - truth).mean(axis=(1, 2))
        p.append(stats.ttest_1samp(bias, 0.0).pvalue)
    assert p[0] > 1e-4 > p[1]


def test_plaques_have_the_volume_of_their_ellipsoids():
    """Null: voxels less analytic volume have mean 0; n = 120 plaques, alpha = 1e-4, seeds 0 to 4. Control: 5 % more."""
    counts, volumes = [], []
    for seed in range(5):
        scene = opt_phantom(N, seed=seed)
        counts.extend(np.bincount(scene.truth_labels().ravel())[1:])
        volumes.extend(scene.plaques.volumes)
    assert len(counts) == 120
    assert stats.ttest_rel(counts, volumes).pvalue > 1e-4
    assert stats.ttest_rel(counts, 1.05 * np.array(volumes)).pvalue < 1e-4


def test_plaques_are_separate_whole_and_inside_the_organ(phantom):
    """As 26-connected objects in raster order; the organ around them; none at its surface."""
    labels, regions = phantom.truth_labels(), phantom.regions()
    assert labels.dtype == np.int32
    assert regions.dtype == np.uint8
    found, count = ndimage.label(labels > 0, np.ones((3, 3, 3)))
    assert count == phantom.n_objects == 24
    assert np.array_equal(found, labels)
    around = ndimage.binary_dilation(labels > 0, np.ones((3, 3, 3)))
    assert set(np.unique(regions[around])) == {2, 3}
    assert np.array_equal(regions == 3, labels > 0)
    organ = float((regions > 1).sum())
    assert organ == pytest.approx(phantom.organ.volumes[0], rel=0.01)


# --- strokes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["light sheet", "tomography"])
def test_strokes_are_sparse_true_and_split(kind, block):
    scene = block if kind == "light sheet" else opt_phantom(96, seed=1)
    made = plane_annotations(scene, 1)
    assert len(made.planes) == 6
    assert list(made.planes) == sorted(set(made.planes))
    border = round(TRAIN_PART * scene.shape[2])
    assert not made.train[..., border:].any()
    assert not made.held_out[..., :border].any()
    regions = np.stack([scene.regions(z, z + 1)[0] for z in made.planes])
    for image, least in ((made.train, 40), (made.held_out, 10)):
        assert image.dtype == np.uint8
        assert (image[image > 0] == regions[image > 0]).all()
        counts = np.bincount(image.ravel(), minlength=4)
        assert counts.size == 4
        assert counts.min() >= least
        assert counts[1:].sum() < 0.2 * image.size
    train, held_out = made.volumes(scene.shape[0])
    assert train.shape == held_out.shape == scene.shape
    assert np.array_equal(train[list(made.planes)], made.train)
    assert train.sum() == made.train.sum()
    assert np.array_equal(made.train, plane_annotations(scene, 1).train)
    assert not np.array_equal(made.train, plane_annotations(scene, 2).train)
    assert plane_annotations(scene, 1, planes=2, strokes=2).train.astype(bool).sum() < made.train.astype(bool).sum()


def test_strokes_keep_away_from_outlines(block):
    """No painted pixel of tissue or nucleus has a neighbour of another region in its plane."""
    made = plane_annotations(block, 4)
    regions = np.stack([block.regions(z, z + 1)[0] for z in made.planes])
    cross = ndimage.generate_binary_structure(2, 1)[None]
    differs = ndimage.maximum_filter(regions, footprint=cross) != ndimage.minimum_filter(regions, footprint=cross)
    assert differs.any()
    assert not (differs & ((made.train > 0) | (made.held_out > 0))).any()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: light_sheet((2, 64, 64)), "volume"),
        (lambda: light_sheet((64, 64)), "volume"),
        (lambda: light_sheet((8, 64, 1 << 17)), "volume"),
        (lambda: light_sheet((8, 32, 32), seed=1 << 64), "64 bits"),
        (lambda: LightSheet(voxel_um=(6.0, 0.0, 1.0)), "voxels"),
        (lambda: LightSheet(psf_um=(3.0, -1.0)), "voxels"),
        (lambda: LightSheet(tissue_e=0), "tissue"),
        (lambda: LightSheet(sheet_loss=1.0), "losses"),
        (lambda: NucleiLaw(radius_um=0), "nuclei"),
        (lambda: NucleiLaw(touching=1.5), "touching"),
        (lambda: opt_phantom(47), "too small"),
        (lambda: opt_phantom(48, planes=32), "too small"),
        (lambda: opt_phantom(48, seed=-1), "64 bits"),
        (lambda: opt_phantom(48, scan=OptScan(offset_px=24.0)), "axis of rotation"),
        (lambda: opt_phantom(48, scan=OptScan(offset_px=-25.0)), "axis of rotation"),
        (lambda: opt_phantom(48, law=PlaqueLaw(count=5000)), "no room"),
        (lambda: PlaqueLaw(count=0), "plaques"),
        (lambda: OptScan(mode="xray"), "emission, absorption"),
        (lambda: OptScan(n_angles=1), "projections"),
        (lambda: OptScan(arc_deg=361.0), "projections"),
        (lambda: OptScan(light_e=0.0), "sees nothing"),
    ],
)
def test_unusable_settings_are_refused(call, says):
    with pytest.raises(ConfigError, match=says):
        call()


def test_ranges_and_strokes_out_of_a_volume_are_refused(sheet, phantom):
    for call in (sheet.expected_electrons, sheet.truth_labels, sheet.regions):
        for pair in ((3, 3), (-1, 2), (0, SHAPE[0] + 1)):
            with pytest.raises(ConfigError, match="planes"):
                call(*pair)
    for call, name in ((phantom.density, "planes"), (phantom.line_integrals, "projections")):
        with pytest.raises(ConfigError, match=name):
            call(0, 101)
    with pytest.raises(ConfigError, match="strokes"):
        plane_annotations(sheet, 1, planes=SHAPE[0] + 1)
    with pytest.raises(ConfigError, match="strokes"):
        plane_annotations(sheet, 1, strokes=1)
