"""The trained classifier of a project: arrays of vigra's trees. No pickle is ever loaded, nor parsed as one."""

import re

import numpy as np

from compdistort.backend.base import Float64, Int32
from compdistort.io.ilastik.hdf5 import Guarded
from compdistort.io.ilastik.records import VigraForest

GROUP = "/PixelClassification/ClassifierForests"
VIGRA_TYPE = b"clazyflow.classifiers.parallelVigraRfLazyflowClassifier\nParallelVigraRfLazyflowClassifier\np0\n."
"""What ilastik stores in ``pickled_type`` beside a forest of vigra."""

MAX_TREES = 100_000
_VIGRA_TYPE = re.compile(
    r"clazyflow\.classifiers\.parallelVigraRfLazyflowClassifier\nParallelVigraRfLazyflowClassifier\n(?:p[0-9]+\n)?\."
)
_TYPE_WORDS = re.compile(r"c([\w.]+)\n(\w+)\n")


def read_forest(file: Guarded) -> tuple[VigraForest | None, str]:
    """Return the trained classifier, or why there is none that can be read.

    Parameters
    ----------
    file : Guarded
        The project.

    Returns
    -------
    VigraForest or None, str
        The forest and "", or None and the reason: nothing trained, or another kind of classifier.

    Raises
    ------
    InputError
        If it is a forest of vigra and damaged.
    """
    names = file.names(GROUP)
    if not names:
        return None, "the project holds no trained classifier: switch on Live Update in ilastik, and save"
    other = _other_kind(file, names)
    if other:
        return None, f"{GROUP}: the classifier is {other}; only forests of vigra are read, no pickle ever is"
    forests = [name for name in names if re.fullmatch(r"Forest[0-9]{4,8}", name)]
    if not forests:
        raise file.error(GROUP, "holds no forest")
    trees: list[tuple[Int32, Float64]] = []
    labels: set[tuple[int, ...]] = set()
    for name in sorted(forests, key=lambda name: int(name[6:])):
        trees += _read_trees(file, f"{GROUP}/{name}")
        labels.add(_labels(file, f"{GROUP}/{name}/_ext_param/labels"))
        if len(trees) > MAX_TREES:
            raise file.error(GROUP, f"holds more than {MAX_TREES} trees")
    if "known_labels" in names:
        labels.add(_labels(file, f"{GROUP}/known_labels"))
    if len(labels) != 1:
        raise file.error(GROUP, f"its forests know different classes ({sorted(labels)[:4]})")
    return VigraForest(
        trees=tuple(trees),
        labels=labels.pop(),
        n_columns=_columns(file, trees),
        feature_names=file.texts(f"{GROUP}/feature_names"),
    ), ""


def _other_kind(file: Guarded, names: tuple[str, ...]) -> str:
    """Return what kind of classifier it is; "" for a forest of vigra."""
    if "pickled_classifier" in names:
        return f"a pickled object ({_type_words(file, names)})"
    if "pickled_type" not in names:
        return "" if any(name.startswith("Forest") for name in names) else "of an unnamed kind"
    found = file.dataset(f"{GROUP}/pickled_type")
    if found is not None and (found.dtype.kind == "V" or found.shape != ()):
        return f"of a kind that is stored as {found.dtype}"
    text = file.text(f"{GROUP}/pickled_type") or ""
    return "" if _VIGRA_TYPE.fullmatch(text) else _words(text)


def _type_words(file: Guarded, names: tuple[str, ...]) -> str:
    if "pickled_type" not in names:
        return "of an unnamed type"
    found = file.dataset(f"{GROUP}/pickled_type")
    if found is None or found.dtype.kind == "V" or found.shape != ():
        return "of an unnamed type"
    return _words(file.text(f"{GROUP}/pickled_type") or "")


def _words(text: str) -> str:
    """Return the class that the text of a pickled type names; the text is searched, never interpreted."""
    found = _TYPE_WORDS.match(text)
    return f"{found[1][:80]}.{found[2][:80]}" if found else repr(text[:60])


def _read_trees(file: Guarded, group: str) -> list[tuple[Int32, Float64]]:
    names = [name for name in file.names(group) if re.fullmatch(r"Tree_[0-9]{1,8}", name)]
    if not names:
        raise file.error(group, "holds no tree")
    trees = []
    for name in sorted(names, key=lambda name: int(name[5:])):
        topology = file.array(f"{group}/{name}/topology", "i", 1)
        parameters = file.array(f"{group}/{name}/parameters", "f", 1)
        if topology is None or parameters is None or topology.dtype != np.int32 or parameters.dtype != np.float64:
            raise file.error(f"{group}/{name}", "is no tree (topology int32 and parameters float64)")
        trees.append((topology, parameters))
    return trees


def _labels(file: Guarded, name: str) -> tuple[int, ...]:
    found = file.array(name, "ui", 1)
    values = () if found is None else tuple(int(value) for value in found[:256])
    if not values or list(values) != sorted(set(values)) or not 1 <= values[0] <= values[-1] <= 255:
        raise file.error(name, f"class numbers {list(values)[:10]} are not rising numbers of 1 to 255")
    return values


def _columns(file: Guarded, trees: list[tuple[Int32, Float64]]) -> int:
    """Return the number of columns, on which all trees must agree."""
    heads = {int(topology[0]) if topology.size > 2 else 0 for topology, _ in trees}
    if len(heads) != 1 or min(heads) < 1:
        raise file.error(GROUP, f"its trees are for {sorted(heads)[:4]} columns")
    return heads.pop()
