"""Sigmas that a volume is filtered with plane by plane: against 2D features and ilastik; compiled against plain."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from ilastik_columns import shares
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

from compdistort.backend import get_backend
from compdistort.backend.base import SegmentRule
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.source import Pixels
from compdistort.backend.compiled.stack import whole_stack
from compdistort.backend.plain.convolve import separable_stack
from compdistort.cli import main
from compdistort.errors import ConfigError
from compdistort.features import EIGENVALUES, OPERATORS, FeatureSpec, build_bank, feature_names, parse_spec
from compdistort.forest import flatten, load_classifier
from compdistort.study_file import parse_config

ORACLE = Path(__file__).parent / "oracle" / "ilastik"
SETS = ("ilastik", "vigra", "plain")
MIXED = ("GS:1", "LoG:1.6", "GGM:0.7", "DoG:0.7", "GS:1.6", "HE1:1", "HE2:0.7", "ST1:1.6", "ST2:0.7", "HE3:1", "LoG:1")
FLAT = (0.7, 1.6)


def noise(shape, kind="uint16", seed=1):
    draw = np.random.default_rng(seed)
    return draw.normal(0, 1e3, shape).astype(kind) if kind == "float32" else draw.integers(0, 256, shape, kind)


def differing(names, a, b):
    return [name for name, x, y in zip(names, a, b, strict=True) if x.tobytes() != y.tobytes()]


def agree(image, filters, wanted=None, **blocks):
    """Which wanted features of the compiled blocks differ from the plain twin's."""
    wanted = list(range(len(filters.names)) if wanted is None else wanted)
    ours = whole_stack(image, FeatureBlocks(filters, image.shape, wanted, **blocks))
    theirs = separable_stack(image.astype(np.float32), filters)[wanted]
    return differing([filters.names[f] for f in wanted], ours, theirs)


# What a planar sigma is


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("name", SETS)
def test_planar_columns_are_the_2d_columns_of_every_plane(name, engine):
    backend, image = get_backend(engine), noise((4, 23, 70))
    flat = [word for word in MIXED if float(word.split(":")[1]) in FLAT]
    mixed = build_bank(parse_spec(name, pairs=MIXED, planar=FLAT), 3)
    stack = dict(zip(mixed.names, backend.feature_stack(image, mixed), strict=True))
    alone = build_bank(parse_spec(name, pairs=flat), 2)
    solid = build_bank(parse_spec(name, pairs=[word for word in MIXED if word not in flat]), 3)
    for z, plane in enumerate(image):
        ours = [stack[f"{column}_2d"][z] for column in alone.names]
        assert differing(alone.names, ours, backend.feature_stack(plane, alone)) == []
    assert differing(solid.names, [stack[column] for column in solid.names], backend.feature_stack(image, solid)) == []
    assert len(alone.names) + len(solid.names) == len(mixed.names)


@pytest.fixture
def volume():
    return np.load(ORACLE / "synth3d_columns.npz")["synth3d"]


def committed(name):
    """Columns that ilastik computed in 2D, by name, and their planes."""
    arrays = np.load(ORACLE / f"{name}.npz")
    return {key[3:]: arrays[key] for key in arrays.files if key.startswith("2d_")}, arrays["planes_2d"]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize(("name", "count"), [("synth3d_columns", 8), ("synth3d_eigenvalues", 4)])
def test_planar_columns_are_those_of_ilastiks_2d_scales(name, count, engine, volume):
    theirs, planes = committed(name)
    assert len(theirs) == count
    found = shares(get_backend(engine), volume, theirs, "ilastik", planes, planar=True)
    assert {column: share for column, share in found.items() if share > 1} == {}


def test_filters_along_z_break_the_bound(volume):
    theirs, planes = committed("synth3d_columns")
    assert min(shares(get_backend("numba"), volume, theirs, "ilastik", planes).values()) > 100


# Twins: the same bits


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("shape", [(9, 21, 70), (1, 40, 7), (2, 1, 3), (5, 1, 1), (70, 3, 2)])
def test_twins_agree_on_every_shape_and_type(name, shape, kind):
    filters = build_bank(parse_spec(name, pairs=MIXED, planar=FLAT), 3)
    image = noise(shape, kind)
    assert agree(image, filters) == []
    assert agree(image, filters, block_pixels=1, tile=(3, 5, 64)) == []


columns = st.lists(
    st.tuples(st.sampled_from(OPERATORS + EIGENVALUES), st.sampled_from((0.5, 0.75, 1.0, 1.6, 3.0))),
    min_size=1, max_size=6, unique=True,
)  # fmt: skip
shapes = st.tuples(*[st.integers(1, 12)] * 2, st.integers(1, 80))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(SETS), pairs=columns, shape=shapes, kind=st.sampled_from(("uint8", "uint16", "float32")),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 20), st.sampled_from([64, 128])), data=st.data(),
)  # fmt: skip
def test_any_mixture_in_any_tiling(name, pairs, shape, kind, tile, data):
    solid = {sigma for operator, sigma in pairs if operator.endswith("3")}
    flat = data.draw(st.sets(st.sampled_from(sorted({sigma for _, sigma in pairs}))))
    spec = FeatureSpec(set=name, pairs=tuple(pairs), planar=tuple(flat - solid))
    filters = build_bank(spec, 3)
    wanted = data.draw(st.permutations(range(len(pairs))))[: data.draw(st.integers(1, len(pairs)))]
    image = noise(shape, kind, data.draw(st.integers(0, 2**32 - 1)))
    assert agree(image, filters, wanted, block_pixels=data.draw(st.integers(1, 5000)), tile=tile) == []


def test_every_backend_has_the_same_bits(backend):
    image = noise((5, 24, 70))
    for name in SETS:
        filters = build_bank(FeatureSpec(set=name, sigmas=(0.7, 1.0, 1.6), planar=(0.7, 1.6)), 3, image.shape)
        stack = backend.to_host(backend.feature_stack(backend.to_device(image), filters))
        assert differing(filters.names, stack, separable_stack(image.astype(np.float32), filters)) == []


def test_what_the_plane_before_left_behind_would_be_noticed(monkeypatch):
    """Negative control: tables that are not begun anew give the next planes other columns."""
    filters = build_bank(parse_spec("ilastik", pairs=["GS:1.6", "ST1:1"], planar=(1.0, 1.6)), 3)
    image = noise((3, 30, 70))
    assert agree(image, filters) == []
    monkeypatch.setattr("compdistort.backend.compiled.separable_tiles.begin_anew", lambda plan, fresh: None)
    assert agree(image, filters) == list(filters.names)


@pytest.mark.parametrize("threads", [1, 2])
def test_objects_of_the_fused_engine_are_those_of_the_plain_one(threads):
    draw = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(draw.normal(size=(9, 40, 70)), 2) > 0.03
    image = draw.poisson(300 + 400 * truth).astype(np.uint16)
    filters = build_bank(parse_spec("ilastik", pairs=["GS:1", "HE1:1.6", "ST2:1.6", "LoG:0.7"], planar=(1.6,)), 3)
    stack = get_backend("numpy").feature_stack(image, filters).reshape(4, -1)
    forest = flatten(RandomForestClassifier(20, random_state=0).fit(stack[:, ::23].T, truth.ravel()[::23]))
    rule = SegmentRule(foreground=1, connectivity=6)
    expected = get_backend("numpy").image_objects(image, filters, forest, rule)
    found = get_backend("numba", threads=threads).image_objects(image, filters, forest, rule)
    assert np.array_equal(found.labels, expected.labels)
    assert np.array_equal(found.values, expected.values, equal_nan=True)


# No halo along z


class Counted(Pixels):
    """An image that counts how often each of its planes is read."""

    def __init__(self, image):
        super().__init__(image)
        self.reads = [0] * len(image)

    def read(self, z, rows, columns):
        self.reads[z] += 1
        return super().read(z, rows, columns)


@pytest.mark.parametrize(("planar", "most"), [((3.5,), 1), ((), 4)])
def test_planes_are_read_once_where_all_sigmas_are_planar(planar, most):
    image = Counted(noise((32, 40, 64)))
    filters = build_bank(parse_spec("ilastik", pairs=["LoG:3.5", "ST1:3.5"], planar=planar), 3)
    blocks = FeatureBlocks(filters, image.shape, tile=(8, 512, 512))
    assert len(blocks.tiles) == 4
    for tile in blocks.tiles:
        for _ in blocks.run(blocks.prepare(image), tile):
            pass
    assert max(image.reads) == most


def test_memory_of_planar_sigmas_is_that_of_a_plane():
    def room(depth, planar):
        shape = (depth, 300, 300)
        blocks = FeatureBlocks(build_bank(parse_spec("ilastik", pairs=["LoG:3.5"], planar=planar), 3), shape)
        return blocks.scratch_bytes(blocks.tiles[0], np.uint16)

    assert room(64, (3.5,)) < room(1, (3.5,)) * 1.01
    assert room(64, ()) > 5 * room(64, (3.5,))


# What may be asked for


def test_names_and_json_say_what_is_planar():
    spec = FeatureSpec(set="ilastik", sigmas=(1, 3.5), planar=(3.5,))
    assert feature_names(spec) == tuple(f"{op}_s{s}" for op in OPERATORS for s in ("1.0", "3.5_2d"))
    assert FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert "planar" not in FeatureSpec(set="ilastik").to_dict()
    assert FeatureSpec.from_dict({"set": "ilastik"}).planar == ()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"set": "weka", "planar": (1.0,)}, "set 'weka' has no sigmas that are computed plane by plane; use ilastik"),
        ({"set": "fast", "planar": (5.0,)}, "set 'fast' has no sigmas that are computed plane by plane"),
        ({"set": "plain", "planar": (2.0,)}, r"planar sigma 2\.0 is none of the sigmas"),
        ({"set": "plain", "pairs": (("GS", 1.0),), "planar": (1.6,)}, r"planar sigma 1\.6 is none"),
        ({"set": "vigra", "planar": (1.0, 1)}, "listed twice"),
    ],
)
def test_specs_that_cannot_be_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        FeatureSpec(**arguments)


def test_a_2d_image_has_no_planar_sigmas():
    with pytest.raises(ConfigError, match=r"sigmas \[1\.0\] are planar, but the image has one plane.*--planar"):
        build_bank(FeatureSpec(set="plain", sigmas=(1.0,), planar=(1.0,)), 2)


@pytest.mark.parametrize("operator", ["HE3", "ST3"])
def test_planar_sigmas_have_two_eigenvalues(operator):
    with pytest.raises(ConfigError, match=f"{operator} needs a sigma that is not planar"):
        build_bank(FeatureSpec(set="plain", pairs=((operator, 1.0),), planar=(1.0,)), 3)


@pytest.mark.parametrize("name", SETS)
def test_few_planes_are_enough_for_a_planar_sigma(name):
    spec = parse_spec(name, pairs=["LoG:5"], planar=[5.0])
    assert build_bank(spec, 3, (1, 30, 30)).scales[0].planar
    with pytest.raises(ConfigError, match=r"sigma 5\.0 .*along rows and columns, the image has 30 x 9 x 30"):
        build_bank(spec, 3, (30, 9, 30))
    with pytest.raises(ConfigError, match=r"sigma 5\.0 .*on every axis, the image has 1 x 30 x 30"):
        build_bank(parse_spec(name, pairs=["LoG:5"]), 3, (1, 30, 30))


def test_the_command_takes_planar_sigmas(tmp_path):
    image = noise((5, 30, 31))
    tifffile.imwrite(tmp_path / "raw.tif", image)
    words = ["features", str(tmp_path / "raw.tif"), "--set", "ilastik", "--sigma", "1", "1.6", "--planar", "1", "1.6"]
    assert main([*words, "--device", "cpu", "-o", str(tmp_path / "features.npz")]) == 0
    written = np.load(tmp_path / "features.npz")
    filters = build_bank(FeatureSpec(set="ilastik", sigmas=(1.0, 1.6), planar=(1.0, 1.6)), 3)
    assert tuple(written["names"].tolist()) == filters.names
    assert written["features"].tobytes() == separable_stack(image.astype(np.float32), filters).tobytes()


def test_a_classifier_is_trained_on_planar_sigmas(tmp_path, capsys):
    truth = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(5, 40, 50)), (1, 2, 2)) > 0.03
    raw = np.random.default_rng(2).poisson(300 + 400 * truth).astype(np.uint16)
    drawn = np.random.default_rng(3).random(truth.shape) < 0.2
    for name, pixels in (("raw", raw), ("labels", np.where(drawn, 1 + truth, 0).astype(np.uint8))):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    image, model, mask = (str(tmp_path / name) for name in ("raw.tif", "model.npz", "mask.tif"))
    words = ["train", image, "--labels", str(tmp_path / "labels.tif"), "--preset", "ilastik", "--device", "cpu"]
    assert main([*words, "--pairs", "GS:1", "HE1:1.6", "--planar", "1.6", "-o", model]) == 0
    assert load_classifier(model).features.planar == (1.6,)
    capsys.readouterr()
    assert main(["segment", image, "--model", model, "-o", mask, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["objects"] > 0


def test_a_study_names_planar_sigmas():
    base = {"schema_version": 1, "input": {"raw": "raw.tif"}, "calibration": {"estimate": True}}
    base |= {"codec": [{"id": "identity"}]}
    config = parse_config(base | {"segmenter": {"labels": "l.tif", "set": "ilastik", "planar": [3.5]}}, "study.toml")
    assert config.segmenter.planar == (3.5,)
    with pytest.raises(ConfigError, match="planar belongs to training"):
        parse_config(base | {"segmenter": {"model": "m.npz", "planar": [3.5]}}, "study.toml")
