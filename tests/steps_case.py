"""A small scan of a phantom and the study of it that the tests of steps share: projections, dark and flat frames."""

import hashlib

import numpy as np

from compdistort.io.images import write_tiff
from compdistort.pipeline import outcome
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.study import run_study
from compdistort.study_file import load_config
from compdistort.synthetic import OptScan, SimulatedCamera, expose_frames, opt_phantom

N_ANGLES, ROWS, COLUMNS = 60, 24, 48
CROPPED = (18, 30, 30)
"""Shape of what the steps end in."""

CAMERA = SimulatedCamera(offset_dn=100.0, gain_e_per_dn=0.5, read_noise_e=2.0, prnu=0.0)
STEPS = """
[[step]]
id = "attenuation"
dark = "dark.tif"
flat = "flat.tif"

[[step]]
id = "back-projection"
arc_deg = 360.0
filter = "hann"
centre_px = "search"

[[step]]
id = "crop"
box = "3:21,9:39,9:39"

[[step]]
id = "contrast-stretch"
"""
STUDY = """
schema_version = 1
title = "scan"
[input]
raw = "raw.tif"
crop = "12:36,0:48"
[calibration]
offset_dn = 100.0
gain_e_per_dn = 0.5
read_noise_e = 2.0
[noise]
replicates = 3
{steps}
[segmenter]
preset = "ilastik"
set = "ilastik"
sigma = [0.7, 1.0]
foreground = 2
threshold_annotation = {{ background_below_dn = 30000, foreground_above_dn = 46000, pixels_per_class = 200 }}
[measure]
min_size = 4
[[codec]]
id = "identity"
[[codec]]
id = "bit-depth"
name = "shift"
inverse = "shift"
[[codec]]
id = "bit-depth"
name = "exact"
[compute]
threads = 1
block = 2
"""


def write_scan(folder, steps=STEPS):
    """Write projections, frames of the empty scanner and a study into a folder."""
    scene = opt_phantom(
        COLUMNS, seed=3, scan=OptScan(mode="absorption", n_angles=N_ANGLES, arc_deg=360.0, offset_px=1.5)
    )
    write_tiff(folder / "raw.tif", np.stack(list(expose_frames(scene.frames(), CAMERA, 1))))
    for index, (name, light) in enumerate((("dark", scene.dark()), ("flat", scene.flat())), start=1):
        write_tiff(folder / f"{name}.tif", np.stack(list(expose_frames([light] * 4, CAMERA, 1, exposure_index=index))))
    (folder / "study.toml").write_text(STUDY.format(steps=steps))


def run_scan(files, folder, *settings, **options):
    """Run the study of a scan."""
    config = load_config(files / "study.toml", settings)
    return run_study(config, folder, progress=Silence(), stop=StopFlag(), **options)


def without_pages(patch):
    """Let studies write no report: most of their time, and not what is tested."""
    patch.setattr(outcome, "write_report", lambda _made, folder: folder / "index.html")


def digests(folder):
    """Return the hash of every array of a study, and of its model: what must not depend on how it was run."""
    files = [path for path in (folder / "data.zarr").rglob("*") if path.is_file()]
    files.append(folder / "model.npz")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
