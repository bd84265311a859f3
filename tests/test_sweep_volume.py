"""A sweep of a volume: the same answer in memory and read slab by slab; what cannot be streamed is refused by name."""

import re

import numpy as np
import pytest
from markupsafe import Markup
from test_volume_study import SHAPE, STUDY, _scene

from compdistort.io.images import write_tiff
from compdistort.pipeline.progress import Silence
from compdistort.pipeline.stopping import StopFlag
from compdistort.pipeline.sweep import run_sweep
from compdistort.report import sweep_page
from compdistort.store import StudyStore
from compdistort.study_file import load_config

REPLICATES = 3
SWEEP = """
[sweep]
ratios = [8]
[[sweep.codec]]
id = "identity"
[[sweep.codec]]
id = "jpeg"
[[sweep.codec]]
id = "zfp"
axes = "volume"
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Folder with the files of a sweep of a volume."""
    folder = tmp_path_factory.mktemp("volume")
    raw, truth = _scene()
    write_tiff(folder / "raw.tif", raw)
    write_tiff(folder / "truth.tif", truth)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:16][truth[3:16] > 0] = 2
    labels[::5, ::7, ::6][truth[::5, ::7, ::6] == 0] = 1
    write_tiff(folder / "labels.tif", labels)
    head, tail = STUDY.split("[[codec]]")[0], STUDY[STUDY.index("[compute]") :]
    head = re.sub(r"threshold_annotation.*", 'labels = "labels.tif"', head)
    (folder / "study.toml").write_text(head + SWEEP + tail)
    return folder


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch):
    """Draw no figures: they take most of the time."""
    for name in ("rate_figure", "object_figure"):
        monkeypatch.setattr(sweep_page, name, lambda twin: Markup("<svg></svg>"))


def _sweep(inputs, folder, *settings):
    config = load_config(inputs / "study.toml", (f"noise.replicates={REPLICATES}", *settings))
    return run_sweep(config, folder, progress=Silence(), stop=StopFlag())


def test_slabs_leave_no_trace_but_a_codec_that_needs_the_whole_volume_is_refused(inputs, tmp_path):
    whole = _sweep(inputs, tmp_path / "a.sweep")
    slabs = _sweep(inputs, tmp_path / "b.sweep", "compute.slab=7")
    assert StudyStore.open(slabs.folder).facts("reference")["image"]["streams"]
    assert not StudyStore.open(whole.folder).facts("reference")["image"]["streams"]
    for one, other in zip(whole.twin["series"][:2], slabs.twin["series"][:2], strict=True):
        assert one == other
    of_zfp = [each.twin["series"][2]["points"][0] for each in (whole, slabs)]
    assert of_zfp[0]["verdict"] != "refused"
    assert of_zfp[1]["verdict"] == "refused"
    assert "zfp" in of_zfp[1]["reasons"][0]
    assert "plane by plane" in of_zfp[1]["reasons"][0]
    # Raw image and replicates, and three points; what the lossless one gives is seen to be the replicate itself.
    assert whole.images == 1 + REPLICATES + 1 + 2 * (1 + REPLICATES)
    assert slabs.images == 1 + REPLICATES + 1 + (1 + REPLICATES)
    assert _sweep(inputs, tmp_path / "b.sweep", "compute.slab=5").images == 0
