"""What the demo of optical projection tomography starts from: simulated projections of a phantom of known truth.

The projections are the raw image. The study file puts them through attenuation, back-projection, crop and contrast
stretch; the classifier, trained on strokes painted into the reconstructed volume, finds plaques in it.

Light and camera were chosen: the free beam fills a seventeenth part of 16 bit, as that of dim scans does, so that
``>> 8`` leaves a dozen grey levels. JPEG stops at 40:1, since frames as small as these do not reach 100:1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort import synthetic
from compdistort.pipeline.demo_inputs import write_inputs
from compdistort.synthetic import OptScan, SimulatedCamera, TomographyScene
from compdistort.synthetic.brush import BACKGROUND
from compdistort.synthetic.strokes import UInt8

SIZE, HALF_TURN = 96, 120
"""Planes, rows and columns of the volume, whose planes and columns are those of the detector; steps of half a turn."""

FRAMES = 10
"""Dark and flat frames; each kind is averaged."""

MARGIN = 5
"""Voxels around the organ that the crop leaves."""

PAINTED, STROKES = 8, 12
"""Planes that are annotated, and training strokes of each class in each."""

OPT_CAMERA = SimulatedCamera(offset_dn=100.0, gain_e_per_dn=2.2, read_noise_e=1.6)

Box = tuple[slice, slice, slice]


def opt_scan(steps: int = HALF_TURN) -> OptScan:
    """Return half a turn in so many steps, and one projection more: it mirrors the first, which tells the axis.

    Parameters
    ----------
    steps : int
        Projections of half a turn.

    Returns
    -------
    OptScan
    """
    arc = 180.0 * (steps + 1) / steps
    return OptScan(mode="absorption", n_angles=steps + 1, arc_deg=arc, offset_px=1.5, light_e=8000.0)


_STUDY = """\
# A simulated study: projection tomography, seed {seed}. Every file beside this one was made by `compdistort demo`.
schema_version = 1
title = "Simulated optical projection tomography"

[input]
raw = "raw.tif"
truth = "truth.tif"

[calibration]
sensor = "sensor.json"

[noise]
replicates = {n}
seed = {seed}

# From the projections, which the noise and the codecs are of, to the volume that is classified.
[[step]]
id = "attenuation"
dark = "dark.tif"
flat = "flat.tif"

[[step]]
id = "back-projection"
arc_deg = {arc:g}
centre_px = "search"

[[step]]
id = "crop"
box = "{box}"

[[step]]
id = "contrast-stretch"

# Labels: 1 background, 2 anatomy, 3 plaque.
[segmenter]
labels = "labels.tif"
held_out = "held_out.tif"
label_source = "generated from the known truth"
preset = "ilastik"
set = "ilastik"
sigma = [0.7, 1.0, 1.6, 3.5]
threshold = 0.5

[measure]
min_size = 8
more_thresholds = [0.7]
organ_excludes = 1

[operators]
scores = true
side = 64

[[codec]]
id = "identity"

[[codec]]
id = "bit-depth"
name = "8-bit"

[[codec]]
id = "bit-depth"
name = "8-bit-shift"
inverse = "shift"

[[codec]]
id = "jpeg"
name = "jpeg-10"
ratio = 10

[[codec]]
id = "jpeg"
name = "jpeg-40"
ratio = 40
"""


@dataclass(frozen=True, slots=True)
class _Cropped:
    """What strokes are painted on: the part of the phantom that the steps leave."""

    scene: TomographyScene
    box: Box

    @property
    def shape(self) -> tuple[int, int, int]:
        planes, rows, columns = (part.stop - part.start for part in self.box)
        return planes, rows, columns

    def regions(self, z0: int, z1: int) -> UInt8:
        first = self.box[0].start
        whole = self.scene.regions(first + z0, first + z1)
        return np.ascontiguousarray(whole[:, self.box[1], self.box[2]])


def write_opt_inputs(
    folder: Path, *, size: int = SIZE, steps: int = HALF_TURN, seed: int = 1, n_replicates: int = 30
) -> None:
    """Write simulated projections, dark and flat frames, annotations, calibration frames, sensor and study file.

    Parameters
    ----------
    folder : Path
        Made where it does not exist.
    size : int
        Planes, rows and columns of the volume.
    steps : int
        Projections of half a turn; there is one more.
    seed : int
        Seed of phantom, camera and replicates.
    n_replicates : int
        Replicates that the study file asks for.

    Raises
    ------
    ConfigError
        If the volume is too small.
    ResourceError
        If the folder cannot be written.
    """
    made = synthetic.opt_phantom(size, seed, scan=opt_scan(steps))
    box = _box_around(made.regions() != BACKGROUND, MARGIN)
    cropped = _Cropped(made, box)
    marked = synthetic.plane_annotations(cropped, seed, planes=PAINTED, strokes=STROKES).volumes(cropped.shape[0])
    images: dict[str, NDArray[Any]] = {
        "raw": np.stack(list(synthetic.expose_frames(made.frames(), OPT_CAMERA, seed))),
        "flat": np.stack(list(synthetic.expose_frames([made.flat()] * FRAMES, OPT_CAMERA, seed, exposure_index=1))),
        "dark": np.stack(list(synthetic.expose_frames([made.dark()] * FRAMES, OPT_CAMERA, seed, exposure_index=2))),
        "labels": marked.train,
        "held_out": marked.held_out,
        "truth": made.truth_labels()[box].astype(np.uint16),
    }
    words = ",".join(f"{part.start}:{part.stop}" for part in box)
    study = _STUDY.format(seed=seed, n=n_replicates, arc=made.scan.arc_deg, box=words)
    write_inputs(folder, images, OPT_CAMERA, seed, study)


def _box_around(mask: NDArray[np.bool_], margin: int) -> Box:
    """Return the box around all that a mask holds, `margin` voxels wider on every side as far as the volume goes."""
    spans = []
    for axis, n in enumerate(mask.shape):
        held = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append(slice(max(0, int(held[0]) - margin), min(n, int(held[-1]) + 1 + margin)))
    return spans[0], spans[1], spans[2]
