"""What the steps make of an image, as a file; and a back-projection in the conventions of MATLAB."""

import json

import numpy as np
import pytest
from steps_case import CROPPED, N_ANGLES, STEPS, write_scan

from compdistort import get_backend, noise_tables
from compdistort.cli import main
from compdistort.io.images import read_image
from compdistort.io.volume import open_volume
from compdistort.pipeline.inputs import read_sensor
from compdistort.pipeline.preparation import read_recorded, run_steps
from compdistort.reconstruct import ParallelBeam, attenuation, reconstruct
from compdistort.replicate import draw
from compdistort.study_file import load_config


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with the files of a scan."""
    folder = tmp_path_factory.mktemp("scan")
    write_scan(folder)
    return folder


@pytest.fixture(scope="module")
def seen(files):
    """Steps and what they make of the raw image."""
    config = load_config(files / "study.toml")
    return config, *run_steps(config, read_recorded(config), get_backend("numpy"), allow_code=False)


def test_the_seen_volume_is_written_with_its_voxels(files, seen, tmp_path, capsys):
    out = tmp_path / "seen.tif"
    words = ["steps", str(files / "study.toml"), "-o", str(out), "--json", "--set", "input.voxel_um=[2.0, 2.0, 2.0]"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shape"], told["dtype"], told["replicate"]) == (list(CROPPED), "uint16", None)
    assert [step["id"] for step in told["steps"]] == ["attenuation", "back-projection", "crop", "contrast-stretch"]
    np.testing.assert_array_equal(read_image(out), seen[2])
    with open_volume(out) as volume:
        assert volume.voxel_um == pytest.approx((2.0, 2.0, 2.0))


def test_a_replicate_goes_through_the_steps_of_the_raw_image(files, seen, tmp_path):
    config, steps, raw_seen = seen
    out = tmp_path / "seen.zarr"
    assert main(["steps", str(files / "study.toml"), "-o", str(out), "--replicate", "2", "--device", "numba"]) == 0
    raw = read_recorded(config).pixels
    tables = noise_tables(read_sensor(config, raw), config.noise.law, raw.shape)
    backend = get_backend("numpy")
    wanted = steps.see(draw(raw, tables, backend, config.noise.seed, range(2, 3))[0], backend).image
    np.testing.assert_array_equal(read_image(out), wanted)
    assert (wanted != raw_seen).any()


def test_a_study_without_steps_and_a_bad_output_are_refused(files, tmp_path, capsys):
    plain = tmp_path / "plain.toml"
    text = (files / "study.toml").read_text().replace(STEPS, "")
    plain.write_text(text.replace('"raw.tif"', f'"{(files / "raw.tif").as_posix()}"'))
    assert main(["steps", str(plain), "-o", str(tmp_path / "a.tif")]) == 2
    assert "the study has no steps" in capsys.readouterr().err
    assert main(["steps", str(files / "study.toml"), "-o", str(files / "raw.tif")]) == 2
    assert main(["steps", str(files / "study.toml"), "-o", str(tmp_path / "a.png")]) == 3
    assert not list(tmp_path.glob("a.*"))


def test_conventions_of_matlab(files):
    """Size, middle and corners are those of `ParallelBeam.matlab`; scikit-image's give another volume."""
    project = {"id": "back-projection", "arc_deg": 360.0, "convention": "matlab", "filter": "hann"}
    text = (files / "study.toml").read_text()
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in project.items())
    begin, rest = text.split('[[step]]\nid = "back-projection"')
    after = rest[rest.index("[segmenter]") :]
    (files / "matlab.toml").write_text(f"{begin}[[step]]\n{lines}\n{after}")
    config = load_config(files / "matlab.toml")
    image, backend = read_recorded(config), get_backend("numpy")
    steps, found = run_steps(config, image, backend, allow_code=False)
    assert "in the conventions of MATLAB" in steps.describe()[1]
    frames = [read_image(files / f"{name}.tif")[:, 12:36] for name in ("dark", "flat")]
    integrals = attenuation(image.pixels, dark=frames[0], flat=frames[1]).values
    angles = tuple(360.0 * k / N_ANGLES for k in range(N_ANGLES))
    beam = ParallelBeam.matlab(angles, image.pixels.shape[2], filter="hann")
    np.testing.assert_array_equal(found, reconstruct(integrals, beam, backend))
    assert found.shape[1:] == (32, 32)  # 2 floor(48 / (2 sqrt 2))


@pytest.mark.parametrize("line", ["circle = false", "axis_px = 3.0"])
def test_what_a_convention_says_cannot_be_said_again(line, files, capsys):
    lines = f'arc_deg = 360.0\nconvention = "matlab"\n{line}'
    (files / "twice.toml").write_text((files / "study.toml").read_text().replace("arc_deg = 360.0", lines))
    assert main(["check", str(files / "twice.toml")]) == 2
    assert 'convention = "matlab" says what circle and axis_px are' in capsys.readouterr().err
