"""Steps between the recorded image and the features, one by one: what they do, what they record, what they refuse."""

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from steps_case import COLUMNS, CROPPED, N_ANGLES, ROWS, STEPS, write_scan

from compdistort.backend import get_backend
from compdistort.config_steps import STEP_SECTIONS
from compdistort.errors import ConfigError, InputError, ResourceError
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline import step_kinds
from compdistort.pipeline.chain import Chain
from compdistort.pipeline.inputs import input_files, portable_config
from compdistort.pipeline.raw_image import read_raw
from compdistort.pipeline.step_open import open_steps
from compdistort.pipeline.steps import NO_STEPS, of_seen
from compdistort.reconstruct import ParallelBeam, attenuation, contrast_stretch, find_centre, reconstruct
from compdistort.study_file import load_config, parse_config

GOOD = {
    "schema_version": 1,
    "input": {"raw": "a.tif"},
    "calibration": {"estimate": True},
    "segmenter": {"model": "m.npz"},
    "codec": [{"id": "identity"}],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Folder with the files of a scan."""
    folder = tmp_path_factory.mktemp("scan")
    write_scan(folder)
    return folder


@pytest.fixture
def engine():
    return get_backend("numba")


def _opened(*steps, shape=(4, 5, 6), where="x", **options):
    """Return the steps of settings that name no files."""
    return open_steps(parse_config({**GOOD, "step": list(steps)}, where), shape, **options)


def _run(image, backend, *steps, **options):
    """Return what the steps make of a raw image, and the prepared steps."""
    made, seen = _opened(*steps, shape=image.shape, **options).prepare(image, backend)
    return seen, made


def _image(shape=(4, 5, 6), seed=1):
    return np.random.default_rng(seed).integers(100, 60000, shape).astype(np.uint16)


def test_no_steps_leave_the_image_itself(engine):
    raw = _image()
    steps, seen = NO_STEPS.prepare(raw, engine)
    assert seen is raw
    assert not steps
    assert steps.record() == []
    config = parse_config(GOOD, "x")
    assert "step" not in portable_config(config)
    assert of_seen(config) is config


def test_a_scan_is_what_the_parts_make_of_it_one_by_one(files, engine):
    config = load_config(files / "study.toml")
    raw = read_raw(config).pixels
    assert raw.shape == (N_ANGLES, ROWS, COLUMNS)
    steps, seen = open_steps(config, raw.shape).prepare(raw, engine)
    dark, flat = (read_image(files / f"{name}.tif").mean(0, dtype=float)[12:36] for name in ("dark", "flat"))
    lines = attenuation(raw, dark=dark, flat=flat).values
    beam = ParallelBeam(angles_deg=tuple(6.0 * k for k in range(N_ANGLES)), filter="hann")
    found = find_centre(lines, beam, engine)
    assert abs(found.centre_px - 25.5) < 0.3
    volume = reconstruct(lines, beam.changed(centre_px=found.centre_px), engine)[3:21, 9:39, 9:39]
    wanted = contrast_stretch(np.ascontiguousarray(volume))
    np.testing.assert_array_equal(seen, wanted.volume)
    assert seen.shape == CROPPED
    assert steps.fixed[1]["centre_px"] == found.centre_px
    assert steps.found[3] == {
        "low": wanted.low, "high": wanted.high, "below": wanted.below, "above": wanted.above,
    }  # fmt: skip
    record = steps.record()
    assert [entry["shape"] for entry in record] == [[60, 24, 48], [24, 48, 48], [18, 30, 30], [18, 30, 30]]
    assert [entry["dtype"] for entry in record] == ["float32"] * 3 + ["uint16"]
    assert record[0]["settings"]["dark"] == "dark.tif"
    assert f"centre of rotation at {found.centre_px:.2f} px (found on the raw image by mirror)" in record[1]["words"]
    assert str(files) not in str(record)


def test_engines_give_the_same_bits(files, backend, engine):
    config = load_config(files / "study.toml")
    raw = read_raw(config).pixels
    wanted, wanted_image = open_steps(config, raw.shape).prepare(raw, engine)
    steps, seen = open_steps(config, raw.shape).prepare(raw, backend)
    np.testing.assert_array_equal(seen, wanted_image)
    assert steps.record() == wanted.record()
    unused = dict.fromkeys(("sensor", "noise", "key", "classifier", "bank", "rule", "measurands", "voxel_um"))
    chain = Chain(raw=raw, backend=backend, on_device=backend.to_device(raw), steps=steps, after_steps=seen, **unused)
    np.testing.assert_array_equal(backend.to_host(chain.see(chain.on_device)), wanted_image)
    assert replace(chain, steps=NO_STEPS).see(chain.on_device) is chain.on_device


def test_what_was_fixed_is_not_found_again(files, engine, monkeypatch):
    config = load_config(files / "study.toml")
    raw = read_raw(config).pixels
    steps, seen = open_steps(config, raw.shape).prepare(raw, engine)

    def never(*_args, **_options):
        raise AssertionError("searched again")

    monkeypatch.setattr(step_kinds, "find_centre", never)
    again, same = open_steps(config, raw.shape).prepare(raw, engine, steps.fixed)
    np.testing.assert_array_equal(same, seen)
    assert again.record() == steps.record()
    moved = [dict(entry) for entry in steps.fixed]
    moved[1]["centre_px"] += 1
    _, other = open_steps(config, raw.shape).prepare(raw, engine, moved)
    assert (other != seen).any()
    with pytest.raises(AssertionError, match="searched again"):
        open_steps(config, raw.shape).prepare(raw, engine)


def test_a_replicate_goes_the_way_of_the_raw_image(files, engine):
    config = load_config(files / "study.toml")
    raw = read_raw(config).pixels
    steps, seen = open_steps(config, raw.shape).prepare(raw, engine)
    np.testing.assert_array_equal(steps.see(raw, engine).image, seen)
    assert steps.see(raw, engine).found == steps.found
    other = raw.copy()
    other[:, 12, 20:28] -= 300
    made = steps.see(other, engine)
    assert (made.image != seen).any()
    assert made.found != steps.found
    sent = pickle.loads(pickle.dumps(steps))
    np.testing.assert_array_equal(sent.see(other, engine).image, made.image)


def test_a_search_looks_as_far_as_its_bracket(engine):
    """Two rods turn about a centre far from the middle; no two projections are opposite."""
    at, angles = np.arange(96.0), np.deg2rad(3.0 * np.arange(60))
    places = 66.25 + np.stack([18 * np.cos(angles), 11 * np.sin(angles + 0.4)])
    lines = np.exp(-((at - places[..., None]) ** 2) / 8).sum(0)
    raw = np.rint(20000 * lines).astype(np.uint16)[:, None].repeat(4, axis=1)
    search = {"id": "back-projection", "arc_deg": 180, "centre_px": "search"}
    with pytest.raises(InputError, match=r"lies at an end of those that were tried; .* widen the bracket"):
        _run(raw, engine, search)
    _, steps = _run(raw, engine, {**search, "bracket_px": 24.0})
    assert abs(steps.fixed[0]["centre_px"] - 66.25) < 0.2


def test_limits_of_the_raw_image_hold_for_all(engine):
    raw, other = _image(), (_image(seed=2) // 2 + 9000).astype(np.uint16)
    stretch = {"id": "contrast-stretch", "saturated_percent": 10}
    _, shared = _run(raw, engine, {**stretch, "limits": "raw"})
    _, own = _run(raw, engine, stretch)
    np.testing.assert_array_equal(own.see(other, engine).image, contrast_stretch(other, 10).volume)
    low, high = (shared.found[0][name] for name in ("low", "high"))
    np.testing.assert_array_equal(shared.see(raw, engine).image, contrast_stretch(raw, 10).volume)
    made = shared.see(other, engine)
    spread = (other.astype(float) - low) / (high - low) * 65535
    np.testing.assert_allclose(made.image, np.clip(spread, 0, 65535), atol=3)
    assert made.found[0]["above"] == (other > high).sum()
    assert made.found[0]["below"] == (other < low).sum()
    assert (made.image != own.see(other, engine).image).any()


@pytest.mark.parametrize("n", [59, 60])
def test_division_by_the_median(engine, n):
    raw = _image((1, n))
    for image in (raw, (raw / np.float32(700)).astype(np.float32)):
        seen, steps = _run(image, engine, {"id": "divide-by-median"})
        median = np.median(image.astype(np.float64))
        assert steps.found[0]["median"] == median
        np.testing.assert_array_equal(seen, (image.astype(np.float64) / median).astype(np.float32))
        assert seen.dtype == np.float32


def test_a_crop_of_a_plane_and_of_a_volume(engine):
    volume = _image((6, 7, 8))
    seen, _ = _run(volume, engine, {"id": "crop", "box": "1:3,2:7"})
    np.testing.assert_array_equal(seen, volume[:, 1:3, 2:7])
    seen, _ = _run(volume, engine, {"id": "crop", "box": "4:6,1:3,2:7"})
    np.testing.assert_array_equal(seen, volume[4:6, 1:3, 2:7])
    seen, _ = _run(volume[0], engine, {"id": "crop", "box": "1:3,2:7"})
    np.testing.assert_array_equal(seen, volume[0, 1:3, 2:7])


def test_angles_of_a_file_are_those_of_the_arc(files, engine):
    (files / "angles.txt").write_text("\n".join(str(6.0 * k) for k in range(N_ANGLES)) + "\n\n")
    raw = read_raw(load_config(files / "study.toml")).pixels
    given = load_config(files / "study.toml", ('step=[{id="back-projection", angles="angles.txt", filter="hann"}]',))
    arc = load_config(files / "study.toml", ('step=[{id="back-projection", arc_deg=360, filter="hann"}]',))
    one, other = (open_steps(config, raw.shape).prepare(raw, engine) for config in (given, arc))
    np.testing.assert_array_equal(one[1], other[1])
    assert "at given angles" in one[0].describe()[0]
    assert "evenly over 360 degrees" in other[0].describe()[0]
    assert input_files(given)["step 1 angles"] == files / "angles.txt"
    assert portable_config(given)["step"][0]["angles"] == "angles.txt"


def test_files_of_steps_are_inputs_by_number_and_name(files):
    config = load_config(files / "study.toml")
    found = {role: path for role, path in input_files(config).items() if role.startswith("step")}
    assert found == {"step 1 dark": files / "dark.tif", "step 1 flat": files / "flat.tif"}
    assert str(files) not in str(portable_config(config)["step"])
    stored = parse_config(config.model_dump(mode="json"), "study.json")
    assert stored.step == config.step


def test_annotations_and_truth_belong_to_what_is_seen(files):
    config = load_config(files / "study.toml")
    assert config.input.crop is not None
    assert of_seen(config).input.crop is None


def test_memory_of_steps_is_what_they_said(files, engine):
    config = load_config(files / "study.toml", ('step=[{id="attenuation", dark="dark.tif", flat="flat.tif"}, '
        '{id="back-projection", arc_deg=360}, {id="divide-by-median"}, {id="contrast-stretch"}]',))  # fmt: skip
    raw = read_raw(config).pixels
    steps, seen = open_steps(config, raw.shape).prepare(raw, engine)
    tracemalloc.start()
    try:
        steps.see(raw, engine)
        most = tracemalloc.get_traced_memory()[1] - seen.nbytes
    finally:
        tracemalloc.stop()
    assert 0.1 * steps.working_bytes() < most < steps.working_bytes()


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        (
            [{"id": "attenuation", "logarithm": False}],
            InputError,
            r"step 1 \(attenuation\): projections have the shape",
        ),
        ([{"id": "back-projection", "arc_deg": 180}], InputError, r"step 1 \(back-projection\): the image is a plane"),
        ([{"id": "crop", "box": "0:1,0:2,0:2"}], ConfigError, r"step 1 \(crop\): box = .* crops planes"),
        ([{"id": "crop", "box": "0:3,0:7"}], ConfigError, r"step 1 \(crop\): .* 0:7 of 6"),
        ([{"id": "crop", "box": "3:3,0:2"}], ConfigError, r"step 1 \(crop\): .* 3:3 of 5"),
    ],
)
def test_steps_that_cannot_work_on_a_plane_say_which_they_are(engine, steps, error, message):
    with pytest.raises(error, match=message):
        _run(_image((5, 6)), engine, *steps)


PROJECT = {"id": "back-projection", "arc_deg": 180}


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([{"id": "crop", "box": "0:1,0:5,0:6"}, PROJECT], ConfigError, r"step 2 \(back-projection\): 1 projections"),
        ([{**PROJECT, "centre_px": 6}], ConfigError, r"step 1 .* centre_px = 6, lies outside the detector of 6 pixels"),
        ([{**PROJECT, "centre_px": -1}], ConfigError, r"step 1 .* centre_px = -1, lies outside the detector"),
        ([{**PROJECT, "filter": "rampe"}], ConfigError, r"step 1 \(back-projection\): filter is 'rampe'"),
        ([{**PROJECT, "output_size": "huge"}], ConfigError, r"step 1 \(back-projection\): output_size is 'huge'"),
        ([{**PROJECT, "axis_px": 99}], ConfigError, r"step 1 \(back-projection\): axis_px = 99 lies outside"),
        ([{**PROJECT, "output_size": 100_000}], ResourceError, r"step 1 .* the volume, 5 x 100000 x 100000, needs 26"),
        ([{**PROJECT, "output_size": 100_000, "centre_px": "search"}], ResourceError, r"step 1 .* needs 26"),
        ([{"id": "crop", "box": "0:1,0:5,0:6"}], ConfigError, r"step 1 leaves a volume of one plane"),
        ([{"id": "crop", "box": "0:5,0:5,0:6"}], ConfigError, r"step 1 \(crop\): .* 0:5 of 4"),
    ],
)
def test_steps_that_cannot_work_on_a_volume_say_which_they_are(engine, steps, error, message):
    with pytest.raises(error, match=message):
        _run(_image(), engine, *steps)


def test_images_without_contrast_or_without_a_median_are_refused(engine):
    with pytest.raises(InputError, match=r"step 1 \(contrast-stretch\): all values .* are 7"):
        _run(np.full((4, 5), 7, np.uint16), engine, {"id": "contrast-stretch"})
    with pytest.raises(InputError, match=r"step 1 \(divide-by-median\): the median of the image is 0"):
        _run(np.zeros((4, 5), np.uint16), engine, {"id": "divide-by-median"})


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"id": "attenuaton"}, "step 1: id 'attenuaton' is unknown, did you mean 'attenuation'?"),
        ({"box": "0:1,0:1"}, "step 1: 'id' is missing"),
        ({"id": "crop"}, "'step 1 (crop).box' is missing"),
        ({"id": "crop", "box": "0:1"}, "step 1 (crop).box = '0:1'"),
        ({"id": "crop", "bix": "0:1,0:1", "box": "0:1,0:1"}, "unknown key 'step 1 (crop).bix', did you mean 'box'?"),
        ({"id": "back-projection"}, "step 1 (back-projection): give exactly one of angles = FILE or arc_deg"),
        ({"id": "back-projection", "arc_deg": 180, "angles": "a"}, "give exactly one of angles = FILE or arc_deg"),
        ({"id": "back-projection", "arc_deg": 400}, "step 1 (back-projection).arc_deg = 400: the arc must be"),
        ({**PROJECT, "output_size": True}, "step 1 (back-projection).output_size = True"),
        ({**PROJECT, "bracket_px": 40.0}, 'bracket_px does nothing without centre_px = "search"'),
        ({**PROJECT, "centre_px": "seek"}, 'it must be a number of pixels or "search"'),
        ({"id": "attenuation"}, "step 1 (attenuation): the logarithm needs flat = FILE"),
        ({"id": "attenuation", "logarithm": False, "least_transmission": 0.1}, "does nothing without the logarithm"),
        ({"id": "contrast-stretch", "limits": "both"}, "step 1 (contrast-stretch).limits = 'both'"),
        ({"id": "contrast-stretch", "saturated_percent": 100}, "saturated_percent = 100"),
        ({"id": "call", "function": "os.system"}, "step 1 (call).function = 'os.system'"),
        ({"id": "call", "function": "a:b", "settings": {"x": float("inf")}}, "finite numbers"),
    ],
)
def test_wrong_settings_are_named_by_number_and_id(step, words):
    with pytest.raises(ConfigError) as caught:
        parse_config({**GOOD, "step": [step]}, "study.toml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_id_has_its_section():
    for name, section in STEP_SECTIONS.items():
        assert section.model_fields["id"].annotation.__args__ == (name,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n45\n90\n", r"step 1 \(back-projection\): there are 4 projections and 3 angles"),
        ("0\n45\nninety\n135\n", r"angles.txt: line 3 is 'ninety'"),
        ("0\n45\nnan\n135\n", r"step 1 \(back-projection\): an angle of the projections is not finite"),
        ("\n", r"angles.txt: holds no angles"),
        (None, r"angles.txt: cannot be read"),
    ],
)
def test_angles_that_cannot_be_used_are_named(tmp_path, engine, text, message):
    if text is not None:
        (tmp_path / "angles.txt").write_text(text)
    step = {"id": "back-projection", "angles": str(tmp_path / "angles.txt")}
    with pytest.raises((ConfigError, InputError), match=message):
        _run(_image(), engine, step)


@pytest.mark.parametrize("name", ["dark", "flat"])
def test_frames_of_another_shape_are_named(tmp_path, engine, name):
    for each in ("dark", "flat"):
        shape = (2, 5, 7) if each == name else (2, 5, 6)
        write_tiff(tmp_path / f"{each}.tif", np.full(shape, 10 if each == "dark" else 60000, np.uint16))
    step = {"id": "attenuation", "dark": str(tmp_path / "dark.tif"), "flat": str(tmp_path / "flat.tif")}
    with pytest.raises(InputError, match=rf"step 1 \(attenuation\): {name} frames have the shape \(5, 7\)"):
        _run(_image(), engine, step)
    with pytest.raises(InputError, match=r"step 1 \(attenuation\): .*none.tif"):
        _run(_image(), engine, {**step, name: str(tmp_path / "none.tif")})


def test_steps_are_read_in_the_order_of_the_file(files):
    assert [section.id for section in load_config(files / "study.toml").step] == [
        line.split('"')[1] for line in STEPS.splitlines() if line.startswith("id")
    ]
