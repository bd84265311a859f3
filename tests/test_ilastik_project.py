"""ilastik projects: what real and hostile files give, ilastik's own probabilities, and projects of ours read back."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import typer

from compdistort.backend import get_backend
from compdistort.cli import ilastik as commands
from compdistort.cli.common import spread_multiple
from compdistort.errors import AnnotationError, CompdistortError, ConfigError, InputError, ModelFileError
from compdistort.features import FeatureSpec, build_bank
from compdistort.forest import from_sklearn, load_classifier, save_classifier
from compdistort.forest.vigra import LEAF, below, from_vigra, to_vigra
from compdistort.io.files import sha256_file
from compdistort.io.ilastik import (
    FeatureSelection,
    NewLane,
    axes_by_names,
    dense_labels,
    ilastik_names,
    read_internal_image,
    read_project,
    select,
    write_project,
)
from compdistort.io.ilastik.axes import block_orders, parse_version
from compdistort.io.ilastik.hdf5 import guarded
from compdistort.io.images import read_image, write_tiff
from compdistort.pipeline.ilastik_export import ExportOptions, export_project, forest_of, selection_of
from compdistort.pipeline.ilastik_import import import_project
from compdistort.pipeline.ilastik_project import axes_of, classifier_of, show_project

ORACLE = Path(__file__).parent / "oracle" / "ilastik"
COMMITTED = ORACLE / "synth3d_vigra.ilp"
FORESTS = "PixelClassification/ClassifierForests"
BLOCK = "PixelClassification/LabelSets/labels000/block0000"
LANE = "Input Data/infos/lane0000/Raw Data"
ARRAYS = ("feature", "threshold", "left", "root", "depth", "leaf_value")


@pytest.fixture
def project(tmp_path):
    """A copy of the committed project, to be changed."""
    path = tmp_path / "project.ilp"
    shutil.copyfile(COMMITTED, path)
    return path


def _replace(path, name, value):
    """Put another value in the place of a dataset, attributes kept."""
    with h5py.File(path, "r+") as file:
        kept = dict(file[name].attrs) if name in file else {}
        if name in file:
            del file[name]
        file[name] = value
        file[name].attrs.update(kept)


def _probabilities(classifier, image, engine):
    bank = build_bank(classifier.features, image.ndim, image.shape)
    stack = engine.feature_stack(engine.to_device(image), bank)
    return np.moveaxis(engine.to_host(engine.forest_proba(stack, classifier.forest)), 0, -1)


# What the given projects hold


def test_committed_project_is_read():
    project = read_project(COMMITTED)
    assert (project.version, project.workflow) == ("1.4.0", "Pixel Classification")
    assert project.class_names == ("anatomy", "nuclei", "background")
    assert project.class_colours[1] == (0, 130, 200)
    (lane,) = project.lanes
    assert (lane.image.axes, lane.image.shape, lane.image.dtype) == ("zyxc", (48, 56, 64, 1), "uint16")
    assert lane.counts() == {1: 735, 2: 669, 3: 572}
    assert project.selection.columns(3) == FeatureSpec(set="ilastik").columns
    assert (len(project.forest.trees), project.forest.labels, project.no_forest) == (100, (1, 2, 3), "")
    assert ilastik_names(project.selection, 3) == project.forest.feature_names
    assert np.array_equal(read_internal_image(project, 0)[0], np.load(ORACLE / "synth3d_columns.npz")["synth3d"])


@pytest.mark.data
def test_strokes_of_the_committed_project_are_those_that_were_written(shared_oracle):
    labels = np.load(shared_oracle / "ilastik/inputs.npz")["synth3d_labels"]
    assert np.array_equal(dense_labels(read_project(COMMITTED).lanes[0]), labels)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "version", "axes", "counts", "columns", "ndim"),
    [
        ("oracle/ilastik/ilastik-1.2.0rc10.ilp", "1.2.0rc10", "txyzc", {1: 74, 2: 39}, 49, 2),
        ("oracle/ilastik/ilastik-1.3.3post1.ilp", "1.3.3post1", "tyxc", {1: 13, 2: 11}, 25, 2),
        ("oracle/ilastik/synth3d_sklearn.ilp", "1.4.0", "zyxc", {1: 735, 2: 669, 3: 572}, 25, 3),
        ("data/ilastik-labels/pc.ilp", "1.4.0b11", "yxc", {1: 294, 2: 838}, 49, 2),
    ],
)
def test_given_projects_are_imported(request, name, version, axes, counts, columns, ndim, tmp_path):
    path = request.getfixturevalue(f"shared_{name.split('/')[0]}").parent / name
    project = read_project(path)
    assert (project.version, project.lanes[0].image.axes) == (version, axes)
    assert project.lanes[0].counts() == counts
    classifier = classifier_of(project)
    assert (classifier.forest.n_features, classifier.forest.n_trees, classifier.ndim) == (columns, 100, ndim)
    assert classifier.foreground_value == max(counts)
    result = import_project(
        path, model=tmp_path / "m.npz", labels=tmp_path / "l", shape=(1, 105, 99) if "1.2" in name else None
    )
    again = load_classifier(tmp_path / "m.npz")
    assert all(np.array_equal(getattr(again.forest, a), getattr(classifier.forest, a)) for a in ARRAYS)
    found = np.zeros(256, np.int64)
    for file in result["labels"]:
        found += np.bincount(read_image(file, kind="labels").ravel(), minlength=256)
    assert {k: int(found[k]) for k in range(1, 256) if found[k]} == counts
    assert bool(result["cautions"]) == ("1.2" in name)


@pytest.mark.data
def test_strokes_in_the_fixed_order_of_1_3_3_lie_where_they_were_drawn(shared_oracle):
    """The lane says tyxc, the block was written as txyzc: [0:1,15:25,14:25,...] is column 15 to 25, row 14 to 25.

    The forest separates its own training pixels, which it does not where rows and columns are exchanged.
    """
    folder = shared_oracle / "ilastik"
    project = read_project(folder / "ilastik-1.3.3post1.ilp")
    labels = dense_labels(project.lanes[0])
    assert labels.shape == (33, 77)
    assert np.array_equal([axis.min() for axis in np.nonzero(labels)], [14, 15])
    classes = np.load(folder / "real_projects.npz")["pc_oc_133_prob_tyxc"][0].argmax(-1) + 1
    right = (classes == labels)[labels > 0].mean()
    exchanged = np.zeros_like(labels)
    exchanged[15:25, 14:25] = labels[14:25, 15:25].T
    assert right == 1 > (classes == exchanged)[exchanged > 0].mean()


@pytest.mark.data
def test_strokes_and_image_of_a_released_version_agree(shared_data):
    """The forest of pc.ilp gives its own training pixels their class: image, strokes and features belong together."""
    project = read_project(shared_data / "ilastik-labels/pc.ilp")
    classifier = classifier_of(project)
    assert classifier.training["image_dtype"] == "uint8"
    around = (slice(280, 800), slice(140, 720))
    labels = dense_labels(project.lanes[0])[around]
    image = read_internal_image(project, 0)[0, 0][around].copy()
    assert np.count_nonzero(labels) == 294 + 838
    bank = build_bank(classifier.features, 2, image.shape)
    engine = get_backend("numba")
    probability = engine.to_host(engine.image_probability(engine.to_device(image), bank, classifier.forest, 1))
    assert ((probability >= 0.5) == (labels == 2))[labels > 0].mean() > 0.99
    assert ((probability[:, ::-1] >= 0.5) == (labels == 2))[labels > 0].mean() < 0.95


# Probabilities


def test_probabilities_are_ilastiks_on_its_own_columns():
    """Real ilastik's columns through the imported forest: equal to float32 rounding, on every voxel of two planes."""
    classifier = classifier_of(read_project(COMMITTED))
    columns = np.load(ORACLE / "synth3d_columns.npz")
    oracle = np.load(ORACLE / "synth3d_probabilities.npz")
    assert np.array_equal(columns["planes"], oracle["planes"])
    stack = np.stack([columns[f"3d_{operator}_s{sigma}"] for operator, sigma in classifier.features.columns])
    for name in ("numpy", "numba"):
        engine = get_backend(name)
        found = np.moveaxis(engine.to_host(engine.forest_proba(engine.to_device(stack), classifier.forest)), 0, -1)
        assert np.abs(found - oracle["prob_vigra"]).max() < 1e-7
    wrong = np.moveaxis(
        engine.to_host(engine.forest_proba(engine.to_device(stack[::-1].copy()), classifier.forest)), 0, -1
    )
    assert np.abs(wrong - oracle["prob_vigra"]).max() > 0.5


def test_probabilities_are_ilastiks_end_to_end():
    """Our own float32 columns: fewer than one voxel in a thousand has another vote, none another mask."""
    project = read_project(COMMITTED)
    classifier = classifier_of(project, foreground=2)
    oracle = np.load(ORACLE / "synth3d_probabilities.npz")
    found = _probabilities(classifier, read_internal_image(project, 0)[0], get_backend("numba"))[oracle["planes"]]
    difference = np.abs(found - oracle["prob_vigra"])
    assert (difference > 1e-6).any(axis=-1).mean() < 1e-3
    assert difference.max() < 0.1
    assert np.array_equal(found >= 0.5, oracle["prob_vigra"] >= 0.5)


@pytest.mark.data
def test_probabilities_of_all_given_projects(shared_oracle):
    """Whole images, real ilastik's numbers, our own columns; bounds are on the share of voxels with another vote."""
    folder = shared_oracle / "ilastik"
    rf, real = np.load(folder / "synth3d_rf.npz"), np.load(folder / "real_projects.npz")
    volume = np.load(folder / "inputs.npz")["synth3d"]
    mitocheck = real["mitocheck_raw_txy"].transpose(0, 2, 1)
    cases = (
        ("synth3d_vigra", volume[None], rf["prob_vigra"][None, ..., 1], 1e-3, 0),
        ("synth3d_sklearn", volume[None], rf["prob_sklearn_nuclei"][None], 1e-3, 5),
        ("ilastik-1.3.3post1", real["pc_oc_133_raw_tyxc"][..., 0], real["pc_oc_133_prob_tyxc"][..., 1], 1e-3, 0),
        ("ilastik-1.2.0rc10", mitocheck, real["mitocheck_prob_fastfilters_tyx"][..., 1], 1e-2, 10),
    )
    engine = get_backend("numba")
    for name, images, oracle, share, n_mask in cases:
        classifier = classifier_of(read_project(folder / f"{name}.ilp"))
        bank = build_bank(classifier.features, classifier.ndim, images[0].shape)
        found = np.stack(
            [
                engine.to_host(engine.image_probability(engine.to_device(image.copy()), bank, classifier.forest, 1))
                for image in images
            ]
        )
        assert (np.abs(found - oracle) > 1e-6).mean() < share, name
        assert np.count_nonzero((found >= 0.5) != (oracle >= 0.5)) <= n_mask, name


# The forest


def _tree(topology, parameters):
    return np.array(topology, np.int32), np.array(parameters, np.float64)


def _stump(threshold=0.5, left=7, right=9):
    return _tree([1, 2, 0, 0, left, right, 0, LEAF, 2, LEAF, 5], [1, threshold, 4, 1, 0, 5, 0.25, 0.75])


@pytest.mark.parametrize("threshold", [0.0, -0.0, 0.1, 1.0, 1e-50, -1e-50, 1e-45, 3.0e38, float(np.float32(0.1))])
def test_thresholds_decide_as_vigra_does(threshold):
    """Plain comparison, float32 against float64, at the threshold and at its neighbours on both sides."""
    near = np.float32(threshold)
    values = np.array([np.nextafter(near, np.float32(side)) for side in (-np.inf, np.inf)] + [near, -0.0], np.float32)
    (step,) = below(np.array([threshold]))
    assert np.array_equal(values <= step, values.astype(np.float64) < threshold)
    forest = from_vigra([_stump(threshold)], 1, 2)
    engine = get_backend("numba")
    found = engine.to_host(engine.forest_proba(engine.to_device(values.reshape(1, 1, -1)), forest))[0, 0]
    assert np.array_equal(found, np.where(values.astype(np.float64) < threshold, 1.0, 0.25))


def _walk(topology, parameters, row):
    """Return the class frequencies of the leaf that a row reaches: vigra's own rule, one node after another."""
    at = 2
    while topology[at] != LEAF:
        _, parameter, left, right, column = topology[at : at + 5]
        at = left if float(row[column]) < parameters[parameter + 1] else right
    first = topology[at + 1] + 1
    return parameters[first : first + topology[1]]


@pytest.mark.parametrize("written", [False, True], ids=["read", "written"])
def test_imported_and_exported_trees_vote_as_a_plain_walk(written):
    """Rows next to and exactly on the thresholds of the trees, all 100 trees, float64 means of the same order."""
    stored = read_project(COMMITTED).forest
    forest = from_vigra(stored.trees, 25, 3)
    draw = np.random.default_rng(2)
    inner = np.flatnonzero(forest.feature >= 0)
    rows = np.zeros((25, 200), np.float32)
    for column in range(25):
        known = forest.threshold[inner[forest.feature[inner] == column]]
        rows[column] = draw.choice(np.concatenate([known, np.nextafter(known, np.float32(np.inf))]), 200)
    trees = to_vigra(forest) if written else stored.trees
    expected = np.stack([np.mean([_walk(*tree, row) for tree in trees], axis=0) for row in rows.T])
    engine = get_backend("numba")
    found = engine.to_host(engine.forest_proba(engine.to_device(rows.reshape(25, 1, 200)), forest))[:, 0].T
    assert np.abs(found - expected).max() < 1e-14
    assert np.unique(expected, axis=0).shape[0] > 100


def test_forest_of_vigra_goes_there_and_back():
    stored = read_project(COMMITTED).forest
    forest = from_vigra(stored.trees, 25, 3)
    again = from_vigra(to_vigra(forest), 25, 3)
    assert all(np.array_equal(getattr(forest, name), getattr(again, name)) for name in ARRAYS)
    assert forest.depth.max() > 5


def _spoil(k, value):
    topology, parameters = _stump()
    topology[k] = value
    return topology, parameters


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (_spoil(0, 2), "columns and classes"),
        (_spoil(1, 3), "columns and classes"),
        (_spoil(2, 1), "unknown kind"),
        (_spoil(2, LEAF + 1), "unknown kind"),
        (_spoil(4, 2), "not behind its parent"),
        (_spoil(4, -5), "not behind its parent"),
        (_spoil(5, 7), "two parents"),
        (_spoil(5, 10), "out of range"),
        (_spoil(5, 2**31 - 1), "out of range"),
        (_spoil(3, 7), "parameter out of range"),
        (_spoil(3, -1), "parameter out of range"),
        (_spoil(10, 6), "parameter out of range"),
        (_spoil(6, 1), "column out of range"),
        (_spoil(6, -1), "column out of range"),
        (_stump(np.nan), "not finite"),
        (_stump(-1e300), "not finite"),
        (_tree([1, 2, LEAF, 0], [1, 0.9, 0.9]), "do not sum to 1"),
        (_tree([1, 2], []), "no node"),
        (_tree([1, 2, 0, 0, 7, 9, 0, LEAF, 0, LEAF, 0], [1, 0, 1]), "more leaves than frequencies"),
    ],
)
def test_a_tree_that_is_none_is_refused(tree, words):
    assert from_vigra([_stump()], 1, 2).n_trees == 1
    with pytest.raises(ModelFileError, match=words):
        from_vigra([_stump(), tree], 1, 2)


# Hostile and odd files


def _cycle(file):
    file[f"{FORESTS}/Forest0000/Tree_00/topology"][4] = 2


def _external(file):
    del file[BLOCK]
    file[BLOCK] = h5py.ExternalLink("elsewhere.h5", "/data")


def _soft(file):
    del file[f"{FORESTS}/known_labels"]
    file[f"{FORESTS}/known_labels"] = h5py.SoftLink(f"/{FORESTS}/Forest0000/_ext_param/labels")


def _external_data(file):
    del file["FeatureSelections/Scales"]
    file["FeatureSelections"].create_dataset("Scales", (7,), "f8", external=[("/etc/hostname", 0, 56)])


def _lying_shape(file):
    attributes = dict(file[BLOCK].attrs)
    del file[BLOCK]
    made = file.create_dataset(BLOCK, (2**20, 2**20, 2**10, 1), "u1", chunks=(1, 1024, 1024, 1), compression="gzip")
    made.attrs.update(attributes)
    made.attrs["blockSlice"] = f"[0:{2**20},0:{2**20},0:{2**10},0:1]"
    file[f"{LANE}/shape"][...] = (2**20, 2**20, 2**10, 1)


def _long_text(file):
    """A text of one gibibyte, most of it never written."""
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(2**30)
    del file["time"], file["workflowName"]
    h5py.h5d.create(file.id, b"workflowName", kind, h5py.h5s.create(h5py.h5s.SCALAR))


def _slice(text):
    def change(file):
        file[BLOCK].attrs["blockSlice"] = text

    return change


def _move(old, new):
    return lambda file: file.move(old, new)


def _put(name, value):
    def change(file):
        if name in file:
            del file[name]
        file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_put("ilastikVersion", b"2.0.0"), r"/ilastikVersion is '2\.0\.0'"),
        (_put("ilastikVersion", b"0.5.2"), r"/ilastikVersion is '0\.5\.2'"),
        (_put("ilastikVersion", b"latest"), "/ilastikVersion is 'latest'"),
        (_put("ilastikVersion", 1.4), "is no single text"),
        (_put("ilastikVersion", b"\xff\xfe"), "damaged"),
        (_external, "link to elsewhere"),
        (_soft, "link to elsewhere"),
        (_external_data, "in another file"),
        (_lying_shape, "in a file of"),
        (_long_text, "declares 1 texts of 1073741824 bytes"),
        (_slice("[0:48,0:56,0:63,0:1]"), "does not fit its shape"),
        (_slice("[1:49,0:56,0:64,0:1]"), "lies outside axes zyxc"),
        (_slice("[0:48,0:56,0:64,1:2]"), "lies outside axes zyxc"),
        (_slice("[0:48,0:56]"), "does not fit its shape"),
        (_slice("__import__('os')"), "no slice"),
        (_slice(7), "attribute blockSlice is no single text"),
        (_put(f"{LANE}/axistags", b'{"axes": [{"key": "y"}]}'), "axes are not those of an image"),
        (_put(f"{LANE}/axistags", b"[" * 100_000), "axes are not those of an image"),
        (_move(LANE, "Input Data/infos/lane0000/filePath"), "has no Raw Data"),
        (_put(f"{LANE}/shape", np.array([48, 56, 64])), "does not fit the axes"),
        (_put(f"{LANE}/shape", np.array([48, 56, -64, 1])), "does not fit the axes"),
        (_put("FeatureSelections/Scales", np.array([1.0, np.nan, 3, 4, 5, 6, 7])), "different positive numbers"),
        (_put("FeatureSelections/SelectionMatrix", np.ones((6, 6), bool)), "does not fit its feature names"),
        (
            _put("FeatureSelections/FeatureIds", np.array([b"Magic"] + [b"x%d" % k for k in range(5)])),
            "'Magic' is ticked",
        ),
        (_put("FeatureSelections/ComputeIn2d", np.zeros(3, bool)), "3 flags for 7 scales"),
        (_put("PixelClassification/LabelNames", np.array([b"one"])), "strokes of class 3"),
        (_put(f"{FORESTS}/known_labels", np.array([1, 2], np.uint32)), "know different classes"),
        (_put(f"{FORESTS}/known_labels", np.array([3, 2, 1], np.uint32)), "not rising"),
        (_put(f"{FORESTS}/Forest0000/Tree_00/topology", np.zeros(5)), "type float64"),
        (_put(f"{FORESTS}/Forest0000/Tree_00/topology", np.zeros(5, np.int64)), "is no tree"),
        (_put(f"{FORESTS}/Forest0000/Tree_00/parameters", np.zeros(5, np.float32)), "is no tree"),
        (
            _put(f"{FORESTS}/Forest0000/Tree_00/topology", np.array([26, 3, LEAF, 0], np.int32)),
            r"for \[25, 26\] columns",
        ),
    ],
)
def test_hostile_projects_are_refused_by_name(project, change, words):
    with h5py.File(project, "r+") as file:
        change(file)
    with pytest.raises(InputError, match=words) as caught:
        read_project(project)
    assert str(project) in caught.value.what
    assert caught.value.remedy


def test_a_cycle_in_a_tree_is_refused(project):
    with h5py.File(project, "r+") as file:
        _cycle(file)
    with pytest.raises(ModelFileError, match=r"project\.ilp: .*tree 0: a child that is not behind its parent"):
        classifier_of(read_project(project))


def test_one_array_under_many_names_counts_each_time(project):
    """A small file with many names for one large array could ask for much memory."""
    name = f"/{FORESTS}/Forest0000/Tree_00/topology"
    with guarded(project, max_bytes=400) as file:
        assert file.array(name, "i", 1).nbytes in range(200, 400)
        with pytest.raises(InputError, match="more memory than is allowed"):
            file.array(name, "i", 1)


@pytest.mark.parametrize("keep", [0, 100, 5_000, 300_000, 600_000])
def test_truncated_projects_are_refused(project, keep):
    project.write_bytes(project.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"project\.ilp: (is damaged|is no HDF5 file)"):
        read_project(project)


def test_flipped_bytes_never_escape_as_another_error(project):
    """Damage anywhere gives a project or one of our own errors: 60 files with 40 flipped bytes each, seed 3."""
    draw = np.random.default_rng(3)
    whole = np.frombuffer(project.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        broken = whole.copy()
        broken[draw.integers(0, 60_000, 40)] ^= draw.integers(1, 256, 40).astype(np.uint8)
        project.write_bytes(broken.tobytes())
        try:
            found = read_project(project)
            classifier_of(found)
            dense_labels(found.lanes[0])
            read_internal_image(found, 0)
        except CompdistortError:
            refused += 1
    assert refused > 10


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("pickled_type", b"csklearn.ensemble._forest\nRandomForestClassifier\np0\n.", "RandomForestClassifier"),
        ("pickled_type", b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        ("pickled_type", np.void(b"\x80\x03"), r"stored as \|V2"),
        ("pickled_classifier", np.void(b"\x80\x03"), "a pickled object"),
    ],
)
def test_a_pickled_classifier_is_named_and_the_rest_is_read(project, name, value, words, tmp_path):
    _replace(project, f"{FORESTS}/{name}", value)
    found = read_project(project)
    assert found.forest is None
    assert found.lanes[0].counts() == {1: 735, 2: 669, 3: 572}
    with pytest.raises(ModelFileError, match=words):
        classifier_of(found)
    with pytest.raises(ModelFileError, match="no pickle ever is"):
        import_project(project, model=tmp_path / "m.npz", labels=tmp_path / "labels")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["project.ilp"]
    assert import_project(project, labels=tmp_path / "labels")["labels"] == [str(tmp_path / "labels/lane0000.tif")]


def test_a_forest_of_other_features_than_those_ticked_is_refused(project):
    with h5py.File(project, "r+") as file:
        file["FeatureSelections/SelectionMatrix"][0, 0] = False
        file["FeatureSelections/SelectionMatrix"][4, 1] = True
    with pytest.raises(InputError, match=r"trained on other features .*'Gaussian Smoothing \(σ=0.3\)' instead of"):
        classifier_of(read_project(project))


def test_several_channels_are_refused(project):
    _replace(project, f"{LANE}/shape", np.array([48, 56, 64, 3]))
    found = read_project(project)
    with pytest.raises(InputError, match="has 3 channels"):
        classifier_of(found)
    with pytest.raises(InputError, match="the project says"):
        read_internal_image(found, 0)


def test_an_empty_project_is_read_and_has_nothing_to_import(project, tmp_path):
    with h5py.File(project, "r+") as file:
        del file[FORESTS], file[BLOCK]
        del file["PixelClassification/LabelNames"], file["FeatureSelections/SelectionMatrix"]
        file["PixelClassification/LabelNames"] = np.array([6.9e-310])
        file["PixelClassification/LabelNames"].attrs["isEmpty"] = True
    found = read_project(project)
    assert (found.class_names, found.selection, found.forest) == ((), None, None)
    with pytest.raises(ModelFileError, match="holds no trained classifier"):
        import_project(project, model=tmp_path / "m.npz")
    with pytest.raises(InputError, match="nothing was drawn"):
        import_project(project, labels=tmp_path / "labels")


def test_a_project_without_the_shape_of_its_image_takes_it_from_the_user(project, tmp_path):
    """As in 1.2: strokes on later planes tell that it is 3D; without them nothing does."""
    with h5py.File(project, "r+") as file:
        del file[f"{LANE}/shape"]
    assert axes_of(read_project(project)) == 3
    with pytest.raises(InputError, match="does not hold the shape of its image; give it"):
        import_project(project, labels=tmp_path / "labels")
    with pytest.raises(
        AnnotationError, match="strokes reach to plane, row, column 48, 56, 64 of an image of 48 x 56 x 60"
    ):
        import_project(project, labels=tmp_path / "labels", shape=(48, 56, 60))
    assert not (tmp_path / "labels").exists()
    import_project(project, labels=tmp_path / "labels", shape=(48, 56, 64))
    again = read_image(tmp_path / "labels/lane0000.tif", kind="labels")
    assert np.array_equal(again, dense_labels(read_project(COMMITTED).lanes[0]))
    with h5py.File(project, "r+") as file:
        del file[BLOCK]
    with pytest.raises(InputError, match="does not tell whether its images are 2D or 3D"):
        classifier_of(read_project(project))


@pytest.mark.parametrize(
    ("kind", "path", "found"),
    [
        ("RelativeFilesystemDatasetInfo", "a/b.h5/volume/data", ("relative", "a/b.h5", "volume/data")),
        ("FilesystemDatasetInfo", "/a.h5/b.tif", ("file", "/a.h5", "b.tif")),
        ("FilesystemDatasetInfo", "C:\\a\\b.tif", ("file", "C:\\a\\b.tif", "")),
        ("UrlDatasetInfo", "precomputed://server/x", ("other", "precomputed://server/x", "")),
        (None, "b.tif", ("relative", "b.tif", "")),
        (None, "/b.tif", ("file", "/b.tif", "")),
        (None, "D:/b.tif", ("file", "D:/b.tif", "")),
    ],
)
def test_references_to_images(project, kind, path, found):
    """Projects of 1.2 name no class: there the path itself tells whether it is relative."""
    with h5py.File(project, "r+") as file:
        for name in ("__class__", "filePath", "location"):
            del file[f"{LANE}/{name}"]
        file[f"{LANE}/filePath"] = path.encode()
        file[f"{LANE}/location"] = b"FileSystem"
        if kind is not None:
            file[f"{LANE}/__class__"] = kind.encode()
    image = read_project(project).lanes[0].image
    assert (image.kind, image.path, image.inner_path) == found


def test_axes_told_by_names_alone():
    """Eigenvalues among the trained features: three make it 3D, two make it 2D."""
    names = tuple(f"Hessian of Gaussian Eigenvalues (σ=1.0) [{k}]" for k in range(3))
    assert axes_by_names(names) == 3
    assert axes_by_names(names[:2]) == 2
    assert axes_by_names(("Gaussian Smoothing (σ=1.0)",)) is None
    assert axes_by_names(("Hessian of Gaussian Eigenvalues (σ=1.0) in 2D [0]",)) is None


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_project(tmp_path / "none.ilp")
    plain = tmp_path / "plain.h5"
    with h5py.File(plain, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(InputError, match="this is no ilastik project"):
        read_project(plain)


# Places of strokes


@pytest.mark.parametrize(
    ("version", "workflow", "axes", "orders"),
    [
        ("1.2.0", "Pixel Classification", "zyxc", ("zyxc",)),
        ("1.3.2", "Pixel Classification", "tyxc", ("tyxc",)),
        ("1.3.3", "Object Classification (from pixel classification)", "tyxc", ("txyzc",)),
        ("1.3.3post1", "Pixel Classification", "zyxc", ("zyxc", "txyzc")),
        ("1.3.3post2", "Object Classification (from pixel classification)", "yxc", ("yxc", "yx")),
        ("1.4.0b7", "Pixel Classification", "yxc", ("yxc", "yx")),
        ("1.4.0b8", "Pixel Classification", "yxc", ("yxc",)),
        ("1.4.0", "Pixel Classification", "yxc", ("yxc",)),
    ],
)
def test_orders_of_blocks_follow_the_version(version, workflow, axes, orders):
    assert block_orders(parse_version(version, "p"), workflow, axes, None) == orders
    assert block_orders(parse_version(version, "p"), workflow, axes, "xyzc") == ("xyzc",)


def test_a_block_that_can_be_placed_in_two_ways_is_refused(project):
    """Version 1.3.3, five axes of a lane that is not in the fixed order: both readings lie in the image."""
    with h5py.File(project, "r+") as file:
        del file["ilastikVersion"], file[BLOCK], file[f"{LANE}/axistags"], file[f"{LANE}/shape"]
        file["ilastikVersion"] = b"1.3.3post1"
        tags = {"axes": [{"key": key} for key in "tzyxc"]}
        file[f"{LANE}/axistags"] = json.dumps(tags).encode()
        file[f"{LANE}/shape"] = np.array([1, 48, 56, 64, 1])
        file[BLOCK] = np.ones((1, 3, 4, 1, 1), np.uint8)
        file[BLOCK].attrs["blockSlice"] = b"[0:1,0:3,0:4,0:1,0:1]"
    with pytest.raises(InputError, match="fits the axes tzyxc and txyzc alike"):
        read_project(project)
    with h5py.File(project, "r+") as file:
        file[BLOCK].attrs["blockSlice"] = b"[0:1,60:63,0:4,0:1,0:1]"
    (block,) = read_project(project).lanes[0].strokes
    assert (block.start, block.values.shape) == ((0, 0, 0, 60), (1, 1, 4, 3))


def test_blocks_that_disagree_are_refused(project):
    with h5py.File(project, "r+") as file:
        other = file.create_dataset(BLOCK[:-1] + "1", data=file[BLOCK][()])
        other.attrs.update(file[BLOCK].attrs)
    assert dense_labels(read_project(project).lanes[0]).any()
    with h5py.File(project, "r+") as file:
        values = file[BLOCK][()]
        values[values == 1] = 2
        file[BLOCK][...] = values
    with pytest.raises(AnnotationError, match="two blocks of strokes disagree"):
        dense_labels(read_project(project).lanes[0])


# Projects of ours


SPECS = {
    "set": (FeatureSpec(set="ilastik", sigmas=(0.7, 1.0)), 2),
    "shuffled": (FeatureSpec(set="ilastik", pairs=(("LoG", 1.6), ("HE1", 1.0), ("GS", 0.3), ("HE2", 1.0))), 2),
    "planar": (
        FeatureSpec(
            set="ilastik",
            pairs=(("GS", 1.0), ("ST1", 0.7), ("ST2", 0.7), ("ST3", 0.7), ("ST1", 1.0), ("ST2", 1.0), ("DoG", 1.3)),
            planar=(1.0,),
        ),
        3,
    ),
}


def _model(spec, ndim, values=(1, 3)):
    """Return a classifier with classes 1 and 3, trained on random rows."""
    from sklearn.ensemble import RandomForestClassifier

    draw = np.random.default_rng(8)
    rows = draw.normal(100, 30, (200, len(spec.columns))).astype(np.float32)
    drawn = np.where(rows[:, 0] + draw.normal(0, 20, 200) > 100, values[1], values[0])
    return from_sklearn(RandomForestClassifier(11, random_state=0).fit(rows, drawn), spec, ndim=ndim)


def _scene(ndim):
    draw = np.random.default_rng(ndim)
    image = draw.integers(0, 60_000, (7, 30, 40)[3 - ndim :]).astype(np.uint16)
    labels = np.zeros(image.shape, np.uint8)
    labels[..., 4:9, 3:20] = draw.integers(0, 3, labels[..., 4:9, 3:20].shape)
    return image, labels


@pytest.mark.parametrize("name", SPECS)
def test_a_project_of_ours_reads_back_the_same(name, tmp_path):
    spec, ndim = SPECS[name]
    classifier = _model(spec, ndim)
    image, labels = _scene(ndim)
    write_tiff(tmp_path / "raw.tif", image)
    write_tiff(tmp_path / "labels.tif", labels)
    save_classifier(tmp_path / "model.npz", classifier)
    out = tmp_path / "p.ilp"
    export_project(out, [tmp_path / "raw.tif"], [tmp_path / "labels.tif"], ExportOptions(model=tmp_path / "model.npz"))
    found = read_project(out)
    assert found.class_names == ("class 1", "Label 2", "class 3")
    assert np.array_equal(dense_labels(found.lanes[0]), labels)
    assert np.array_equal(np.squeeze(read_internal_image(found, 0)), image)
    back = classifier_of(found, foreground=1)
    assert sorted(back.features.columns) == sorted(spec.columns)
    assert (back.features.planar, back.class_values, back.foreground) == (spec.planar, (1, 3), 0)
    engine = get_backend("numba")
    ours, theirs = (_probabilities(each, image, engine) for each in (classifier, back))
    assert np.array_equal(ours, theirs)
    assert ours.std() > 0


def test_export_is_the_same_bytes_each_time(tmp_path):
    image, labels = _scene(2)
    selection = FeatureSelection(scales=(1.0,), chosen=(("GS", 0),), in_2d=(True,))
    for name in ("a.ilp", "b.ilp"):
        lanes = [NewLane(image=image, labels=labels, name="x")]
        write_project(tmp_path / name, lanes, ("a", "b"), selection, class_colours=((1, 2, 3), (4, 5, 255)))
    assert read_project(tmp_path / "a.ilp").class_colours == ((1, 2, 3), (4, 5, 255))
    assert sha256_file(tmp_path / "a.ilp") == sha256_file(tmp_path / "b.ilp")


def _layout(path):
    """Return kind of type and number of axes of every dataset, and every group, numbers in names made one."""
    import re

    found = {}

    def add(name, node):
        key = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", re.sub(r"(Tree_|Forest|block)\d+", r"\1N", name))
        kind = "group" if isinstance(node, h5py.Group) else (node.dtype.kind, node.dtype.itemsize % 256, node.ndim)
        kind = (kind[0], kind[2]) if kind[0] in "SO" else kind
        found[key] = (kind, tuple(sorted(node.attrs)))

    with h5py.File(path) as file:
        file.visititems(add)
    return found


def test_export_has_the_layout_that_ilastik_was_seen_to_open(tmp_path):
    """Every group and dataset of the committed project, which the real ilastik predicted from, and one more."""
    project = read_project(COMMITTED)
    lane = NewLane(image=read_internal_image(project, 0)[0], labels=dense_labels(project.lanes[0]), name="x")
    classifier = classifier_of(project)
    selection = selection_of(classifier.features, 3)
    out = tmp_path / "again.ilp"
    write_project(out, [lane], project.class_names, selection, forest=forest_of(classifier, selection), n_rows=1976)
    ours, theirs = _layout(out), _layout(COMMITTED)
    assert {name: ours.get(name) for name in theirs} == theirs
    assert set(ours) - set(theirs) == {"currentApplet"}
    with h5py.File(out) as mine, h5py.File(COMMITTED) as given:
        same = [
            name
            for name in (
                "FeatureSelections/FeatureIds",
                "PixelClassification/ClassifierFactory",
                f"{FORESTS}/pickled_type",
            )
            if np.array_equal(mine[name][()], given[name][()])
        ]
        assert len(same) == 3
        options = given[f"{FORESTS}/Forest0000/_options"]
        assert all(mine[f"{FORESTS}/Forest0000/_options/{key}"][0] == options[key][0] for key in options)
        parameters = given[f"{FORESTS}/Forest0000/_ext_param"]
        assert all(
            np.array_equal(mine[f"{FORESTS}/Forest0000/_ext_param/{key}"], parameters[key]) for key in parameters
        )
        assert np.array_equal(mine[f"{FORESTS}/feature_names"], given[f"{FORESTS}/feature_names"])


def test_links_of_an_exported_project(tmp_path):
    image, labels = _scene(3)
    (tmp_path / "sub").mkdir()
    for name, array in (("sub/raw.tif", image), ("labels.tif", labels)):
        write_tiff(tmp_path / name, array)
    options = ExportOptions(sigmas=(0.7,), planar=(0.7,), names=("a", "b", "c"), link=True)
    export_project(tmp_path / "near.ilp", [tmp_path / "sub/raw.tif"], [tmp_path / "labels.tif"], options)
    export_project(tmp_path / "sub/far.ilp", [tmp_path / "sub/raw.tif"], [tmp_path / "labels.tif"], options)
    near = read_project(tmp_path / "near.ilp")
    assert (near.lanes[0].image.kind, near.lanes[0].image.path) == ("relative", "sub/raw.tif")
    assert (near.forest, near.class_names, axes_of(near)) == (None, ("a", "b", "c"), 3)
    assert near.selection.planar(3) == (0.7,)
    write_tiff(tmp_path / "up.tif", image)
    export_project(tmp_path / "sub/far.ilp", [tmp_path / "up.tif"], [tmp_path / "labels.tif"], options)
    far = read_project(tmp_path / "sub/far.ilp").lanes[0].image
    assert (far.kind, Path(far.path)) == ("file", (tmp_path / "up.tif").resolve())
    with pytest.raises(InputError, match="holds no image, it refers to"):
        import_project(tmp_path / "near.ilp", raw=tmp_path / "raw")


def test_an_image_that_is_too_small_for_the_features_is_refused(tmp_path):
    image, labels = _scene(2)
    for name, array in (("raw.tif", image), ("labels.tif", labels)):
        write_tiff(tmp_path / name, array)
    with pytest.raises(ConfigError, match=r"raw\.tif: sigma 10\.0 .* needs 36 pixels"):
        export_project(tmp_path / "p.ilp", [tmp_path / "raw.tif"], [tmp_path / "labels.tif"], ExportOptions())
    assert not (tmp_path / "p.ilp").exists()


def test_features_that_ilastik_cannot_have_are_refused():
    with pytest.raises(ConfigError, match="set 'plain'"):
        selection_of(FeatureSpec(set="plain"), 2)
    with pytest.raises(ConfigError, match="all eigenvalues of a scale or none"):
        selection_of(FeatureSpec(set="ilastik", pairs=(("HE1", 1.0),)), 2)
    assert select((("HE1", 1.0), ("HE2", 1.0)), (), 2) is not None
    assert select((("HE1", 1.0), ("HE2", 1.0)), (), 3) is None
    assert select((("HE1", 1.0), ("HE2", 1.0)), (1.0,), 3) is not None


# The commands


@pytest.fixture
def run(capsys):
    """Run a command and return what it printed."""
    app = typer.Typer()
    app.callback()(lambda: None)
    commands.register(app)

    def call(*words):
        app(args=spread_multiple(["ilastik", *map(str, words)], commands.MULTIPLE), standalone_mode=False)
        return capsys.readouterr().out

    return call


def test_commands_show_import_export(run, tmp_path):
    text = run("show", COMMITTED)
    assert "classes: anatomy, nuclei, background" in text
    assert "735 of class 1" in text
    found = json.loads(run("show", COMMITTED, "--json"))
    assert found["classifier"] == {"n_trees": 100, "classes": [1, 2, 3]}
    model, labels, raw = tmp_path / "m.npz", tmp_path / "labels", tmp_path / "raw"
    words = ("import", COMMITTED, "-o", model, "--labels", labels, "--raw", raw, "--foreground", 2)
    assert "100 trees, foreground is class 2" in run(*words)
    with pytest.raises(ConfigError, match="is there already"):
        run(*words)
    assert "a forest of 100 trees" in run(
        "export",
        "-o",
        tmp_path / "p.ilp",
        "--raw",
        raw / "lane0000.tif",
        "--labels",
        labels / "lane0000.tif",
        "--model",
        model,
    )
    before, after = show_project(COMMITTED), show_project(tmp_path / "p.ilp")
    for same in ("version", "workflow", "classes", "features", "classifier"):
        assert before[same] == after[same]
    assert before["lanes"][0]["annotated"] == after["lanes"][0]["annotated"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("import", COMMITTED), "nothing is to be written"),
        (("import", COMMITTED, "-o", "x.npz", "--foreground", "9"), "foreground value 9"),
        (("import", COMMITTED, "--labels", "l", "--shape", "4;5"), "not readable"),
        (("import", COMMITTED, "--labels", "l", "--raw", "l"), "two outputs"),
        (("import", COMMITTED, "--labels", "l", "--shape", "48,56,65"), "the project says"),
        (("export", "-o", "p.ilp", "--raw", "a.tif", "b.tif", "--labels", "c.tif"), "1 label files for 2 images"),
        (("export", "-o", "p.ilp", "--raw", "a.tif"), "0 label files for 1 images"),
        (("export", "-o", "p.ilp", "--raw", "a.tif", "--model", "m.npz", "--sigma", "1"), "given together"),
    ],
)
def test_commands_refuse(run, words, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CompdistortError, match=match):
        run(*words)
    assert list(tmp_path.iterdir()) == []


def test_names_cannot_steer_a_terminal(project, run):
    _replace(project, f"{LANE}/nickname", b"\x1b[2Jevil\n")
    assert "\x1b" not in run("show", project)
    assert "?[2Jevil?" in run("show", project)


def test_h5py_is_loaded_late():
    import subprocess
    import sys

    code = "import sys, compdistort.io.ilastik, compdistort.pipeline.ilastik_export; print('h5py' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
