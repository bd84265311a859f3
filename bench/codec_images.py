"""Images for bench/codecs.py: the three simulated scenes of known truth, and real ones where their folder is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Real images; they are skipped aloud where the folder is absent."""

OPT_SENSOR = {"offset_dn": 239.7, "gain_e_per_dn": 2.53, "read_noise_e": 10.0, "bits": 12}
"""Of the zebrafish frames: dark level and gain were measured, the read noise is stated (their dark frame is a mean)."""


@dataclass(frozen=True)
class BenchImage:
    """An image, its sensor, and its true mean where that is known."""

    name: str
    raw: Any
    sensor: Any
    mean: Any = None

    @property
    def variance(self):
        """Variance of the noise at the expected levels, the rounding included, DN^2."""
        from compdistort.score.pixels import ROUNDING_DN2, local_level

        planes = self.raw.reshape(-1, *self.raw.shape[-2:])
        level = self.mean if self.mean is not None else np.stack([local_level(p) for p in planes])
        found = np.stack([self.sensor.variance_dn2(p) for p in level.reshape(planes.shape)])
        return found.reshape(self.raw.shape) + ROUNDING_DN2


def simulated(side=1024, stack=(24, 384, 384)):
    """Return the scenes `fluor`, `phase` and `stack`, seen by their cameras."""
    from compdistort.synthetic.codec_scenes import codec_scene

    shapes = {"fluor": (side, side), "phase": (side, side), "stack": stack}
    for name, shape in shapes.items():
        made = codec_scene(name, shape)
        yield BenchImage(name=name, raw=made.raw, sensor=made.sensor, mean=made.mean)


def real(say, crop=None):
    """Return the real images; say which are not there. Sensors of images without calibration frames are estimated."""
    from compdistort.io.images import read_image
    from compdistort.sensor.model import SensorModel
    from compdistort.sensor.single_image import estimate_noise

    named = {
        "foci_h2ax": ("nuclei-speckles/foci_h2ax.tif", None),
        "zebrafish": ("opt-zebrafish/proj_00.tif", OPT_SENSOR),
        "cfos 695_4": ("lightsheet-cfos/raw_695_4.tif", None),
    }
    for name, (place, numbers) in named.items():
        path = DATA / place
        if not path.exists():
            say(f"{name}: not measured: {place} is not in the folder of real data")
            continue
        whole = read_image(path)
        sensor = estimate_noise(whole) if numbers is None else SensorModel.scalar(**numbers)
        raw = whole if crop is None else np.ascontiguousarray(whole[..., :crop, :crop])
        yield BenchImage(name=name, raw=raw, sensor=sensor)
