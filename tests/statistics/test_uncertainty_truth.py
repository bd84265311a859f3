"""Is sigma_raw the truth? Replicates of one exposure against repeated exposures of the same simulated scene.

Chain: simulated phase-contrast scene and camera -> Weka features -> forest trained on generated annotations -> objects.
For every matched object j: s_j, the standard deviation of its area over n = 100 raw-equivalent replicates of one
exposure, and t_j, the one over m = 200 independent exposures (NumPy's Poisson and normal generators, a code path of
its own). Statistic: mean over objects of ln(s_j / t_j).

Null hypothesis (equivalence): |mean| >= ln 1.05. Rejected (the replicates are right within 5 %) if the 1 - 2 alpha
confidence interval of the mean, from the standard error over objects, lies inside +-ln 1.05; alpha = 0.05, two
one-sided t tests. Seeds are fixed below. Negative control: replicates drawn with the gain in DN/e- doubled (twice the
shot variance) must fail the same test, by more than the bound.
"""

import numpy as np
import pytest
from scipy import stats

from compdistort import synthetic
from compdistort.backend import get_backend
from compdistort.backend.base import PARAMETERS, SegmentRule
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import train_classifier
from compdistort.match import align, match_objects
from compdistort.replicate import noise_tables
from compdistort.rng import Stream, derive_key
from compdistort.sensor.model import SensorModel

SIZE = 416
REPLICATES = 100
EXPOSURES = 200
ALPHA = 0.05
BOUND = np.log(1.05)
AREA = PARAMETERS.index("Area")
SEED = 3
LEAST_OBJECTS = 50
LEAST_FOUND = 0.95


class Chain:
    """Scene, camera and classifier, and the way from an image to areas aligned to the first exposure's objects."""

    def __init__(self):
        self.backend = get_backend("cpu")
        self.scene = synthetic.scene("spheres", SIZE, SEED)
        self.camera = synthetic.SimulatedCamera()
        self.raw = self.exposure(0)
        spec = FeatureSpec(set="weka")
        labels, _ = synthetic.annotations(self.scene, SEED)
        self.classifier, _ = train_classifier(self.raw, labels, spec, preset="weka", seed=0, backend=self.backend)
        self.bank = build_bank(spec, 2, self.raw.shape)
        self.rule = SegmentRule(foreground=self.classifier.foreground, min_size=20)
        self.reference = self.objects(self.raw)

    def exposure(self, index):
        return synthetic.expose(self.scene, self.camera, SEED, index)

    def objects(self, image):
        found = self.backend.image_objects(image, self.bank, self.classifier.forest, self.rule)
        return found.values

    def areas(self, images):
        """Return areas of shape (n_images, n_objects), NaN where unmatched."""
        rows = []
        for image in images:
            values = self.objects(image)
            rows.append(align(self.reference, values, match_objects(self.reference, values))[:, AREA])
        return np.array(rows)

    def replicates(self, gain_factor=1.0):
        camera = self.camera
        sensor = SensorModel.scalar(
            offset_dn=camera.offset_dn,
            gain_e_per_dn=camera.gain_e_per_dn / gain_factor,
            read_noise_e=camera.read_noise_e,
        )
        tables = noise_tables(sensor)
        key = derive_key(SEED, Stream.NOISE)
        for index in range(REPLICATES):
            yield self.backend.replicate(self.raw, tables, key, range(index, index + 1))[0]


def _mean_log_ratio(areas, truth):
    """Return mean, standard error and number of objects of ln(s_j / t_j)."""
    often = (np.isfinite(areas).mean(0) > LEAST_FOUND) & (np.isfinite(truth).mean(0) > LEAST_FOUND)
    ratio = np.log(np.nanstd(areas[:, often], axis=0, ddof=1) / np.nanstd(truth[:, often], axis=0, ddof=1))
    return float(ratio.mean()), float(stats.sem(ratio)), int(often.sum())


def _equivalent(mean, error, n):
    half = stats.t.ppf(1 - ALPHA, n - 1) * error
    return mean - half > -BOUND and mean + half < BOUND


@pytest.fixture(scope="module")
def chain():
    return Chain()


@pytest.fixture(scope="module")
def truth(chain):
    return chain.areas(chain.exposure(index) for index in range(1, EXPOSURES + 1))


@pytest.mark.slow
def test_object_area_uncertainty_is_the_repeat_exposure_spread_within_5_percent(chain, truth):
    mean, error, n = _mean_log_ratio(chain.areas(chain.replicates()), truth)
    print(f"mean ln(sigma_raw / spread over exposures) = {mean:+.4f}, standard error {error:.4f}, {n} objects")
    assert n >= LEAST_OBJECTS
    assert _equivalent(mean, error, n)


@pytest.mark.slow
def test_doubled_gain_fails_the_same_test(chain, truth):
    """Negative control."""
    mean, error, n = _mean_log_ratio(chain.areas(chain.replicates(gain_factor=2.0)), truth)
    print(f"gain doubled: {mean:+.4f}, standard error {error:.4f}, {n} objects")
    assert n >= LEAST_OBJECTS
    assert not _equivalent(mean, error, n)
    assert mean - stats.t.ppf(1 - ALPHA, n - 1) * error > BOUND
