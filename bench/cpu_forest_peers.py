"""Other engines for the very forest that scikit-learn grew: lleaves, tl2cgen, onnxruntime; one thread each."""

import contextlib
import io
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass
class ForestPeer:
    """An engine that is ready, or why it is not.

    Attributes
    ----------
    probability : callable or None
        Takes float32 rows and returns the probability of class 1.
    prepare_seconds : float
        What compiling took.
    absent : str
        Why it cannot be measured.
    """

    name: str
    probability: object = None
    prepare_seconds: float = 0.0
    absent: str = ""


def forest_peers(grown, rows, folder):
    """Return every engine of `PEERS`, each compiled for the forest with `rows` as an example."""
    return [_prepared(name, grown, rows, folder) for name in PEERS]


def _prepared(name, grown, rows, folder):
    began = time.perf_counter()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            call = PEERS[name](grown, rows, folder)
        call(rows[:64])
    except Exception as error:  # whatever it says is the reason why it is not measured
        words = (str(error).splitlines() or [""])[0].replace(str(folder), "")
        return ForestPeer(name, absent=f"{type(error).__name__}: {words}"[:200])
    return ForestPeer(name, call, time.perf_counter() - began)


def _lleaves(grown, rows, folder):
    """lleaves reads LightGBM's text only."""
    import lleaves

    path = folder / "forest.txt"
    path.write_text(lightgbm_text(grown.flat, 1), encoding="ascii")
    model = lleaves.Model(str(path))
    # At its default the whole forest is one function, which takes LLVM minutes.
    model.compile(finline=False, fblocksize=10)
    return lambda rows: model.predict(rows.astype(np.float64), n_jobs=1)


def _tl2cgen(grown, rows, folder):
    import tl2cgen
    import treelite

    model = treelite.sklearn.import_model(grown.estimator)
    library = folder / "forest_tl2cgen.so"
    settings = {"parallel_comp": 16, "quantize": 0}
    tl2cgen.export_lib(model, toolchain="gcc", libpath=str(library), params=settings, nthread=2, verbose=False)
    predictor = tl2cgen.Predictor(str(library), nthread=1)

    def probability(rows):
        found = predictor.predict(tl2cgen.DMatrix(rows.astype(np.float64)))
        return found.reshape(len(rows), -1)[:, 1]

    return probability


def _onnxruntime(grown, rows, folder):
    import onnxruntime
    from skl2onnx import to_onnx

    model = to_onnx(grown.estimator, rows[:1], options={id(grown.estimator): {"zipmap": False}})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rows: session.run(None, {name: rows})[1][:, 1]


PEERS = {"lleaves": _lleaves, "tl2cgen": _tl2cgen, "onnxruntime": _onnxruntime}


def lightgbm_text(flat, target):
    """Return a forest as LightGBM's model text: the mean over trees of the leaves' probability of one class."""
    edges = [*flat.root.tolist(), flat.feature.size]
    trees = [_tree_text(flat, k, slice(*pair), target) for k, pair in enumerate(pairwise(edges))]
    names = [f"f{k}" for k in range(flat.n_features)]
    head = {
        "num_class": 1,
        "num_tree_per_iteration": 1,
        "label_index": 0,
        "max_feature_idx": flat.n_features - 1,
        "objective": "regression",
        "feature_names": _words(names),
        "feature_infos": _words(["[-1e30:1e30]"] * len(names)),
        "tree_sizes": _words(len(text) for text in trees),
    }
    lines = ["tree", "version=v4", "average_output", *(f"{key}={value}" for key, value in head.items())]
    return "\n".join(lines) + "\n\n" + "".join(trees) + "end of trees\n\npandas_categorical:null\n"


def _tree_text(flat, number, part, target):
    leaf = flat.feature[part] < 0
    # Inner nodes count from 0, leaves from -1 downwards.
    place = np.where(leaf, -np.cumsum(leaf), np.cumsum(~leaf) - 1)
    left = flat.left[part][~leaf] - part.start
    value = flat.leaf_value[flat.left[part][leaf], target]
    lines = {
        "Tree": number,
        "num_leaves": int(leaf.sum()),
        "num_cat": 0,
        "split_feature": _words(flat.feature[part][~leaf]),
        "threshold": _words(repr(float(x)) for x in flat.threshold[part][~leaf]),
        "decision_type": _words([2] * int((~leaf).sum())),
        "left_child": _words(place[left]),
        "right_child": _words(place[left + 1]),
        "leaf_value": _words(repr(float(x)) for x in value),
        "is_linear": 0,
        "shrinkage": 1,
    }
    return "\n".join(f"{key}={text}" for key, text in lines.items()) + "\n\n\n"


def _words(values):
    return " ".join(map(str, values))
