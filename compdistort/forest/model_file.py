"""The model file: a zip of plain, uncompressed ``.npy`` arrays, which ``numpy.load`` reads with ``allow_pickle=False``.

Members: ``meta`` (JSON as uint8), `feature`, `threshold`, `left`, `root`, `leaf_value`, for a forest on bins also
``bin_knot`` and ``bin_level``, and ``blake2b``, a digest over all others. A program from before there were bins refuses
a file with these two members, and a file without them is what such a program writes: hence one version. Nothing of a
file is ever executed: no pickle, no evaluated header. Uncompressed members cannot be larger than the file, so a small
file cannot ask for much memory.
"""

import hashlib
import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FeatureBins
from compdistort.errors import CompdistortError, ModelFileError
from compdistort.features import FeatureSpec
from compdistort.forest.bin_effect import describe_bins
from compdistort.forest.classifier import Classifier
from compdistort.forest.tuned import tuned_pair
from compdistort.forest.validate import build_forest
from compdistort.io.files import atomic_path, resource_errors

FORMAT = "compdistort-classifier"
VERSION = 1
MAX_BYTES = 1 << 30

_ARRAYS = {"feature": "<i2", "threshold": "<f4", "left": "<i4", "root": "<i4", "leaf_value": "<f8"}
_BINS = {"bin_knot": "<f4", "bin_level": "<f4"}
_DTYPES = {"meta": "|u1", **_ARRAYS, **_BINS, "blake2b": "|u1"}
_AXES = {"leaf_value": 2, "bin_knot": 2, "bin_level": 2}
_HEADER = re.compile(rb"\{'descr': '([<|][a-z][0-9])', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n")
_STRANGERS = {
    b"\x80": "a Python pickle", b"\x1f\x8b": "a gzip file (joblib?)", b"BZh": "a bzip2 file (joblib?)",
    b"x\x01": "a zlib stream (joblib?)", b"x\x9c": "a zlib stream (joblib?)", b"x\xda": "a zlib stream (joblib?)",
    b"\xfd7zXZ": "an xz file (joblib?)", b"\x89HDF": "an HDF5 file (ilastik project?)", b"\x93NUMPY": "a single array",
    b"ZF": "an old joblib file", b"c": "an old Python pickle", b"(": "an old Python pickle",
}  # fmt: skip
_DAMAGE = (
    zipfile.BadZipFile, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError,
    struct.error,
)  # fmt: skip
_RETRAIN = "train it again with `compdistort train`"


def save_classifier(path: Path | str, classifier: Classifier) -> None:
    """Write a classifier; the same classifier gives the same bytes.

    Parameters
    ----------
    path : Path or str
        File to write, usually ``.npz``; whole or not at all.
    classifier : Classifier
        What to write.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    members = {"meta": np.frombuffer(json.dumps(_meta(classifier), sort_keys=True).encode(), np.uint8)}
    members |= {name: getattr(classifier.forest, name).astype(dtype) for name, dtype in _ARRAYS.items()}
    bins = classifier.forest.bins
    if bins is not None:
        members["bin_knot"] = bins.knot.astype(_BINS["bin_knot"])
        members["bin_level"] = bins.level.astype(_BINS["bin_level"])
    members["blake2b"] = _digest(members)
    with atomic_path(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())


def load_classifier(path: Path | str) -> Classifier:
    """Read a classifier; whatever the file holds, nothing of it is executed.

    Parameters
    ----------
    path : Path or str
        Model file.

    Returns
    -------
    Classifier

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of another kind or version, or holds no valid forest.
    ResourceError
        If it may not be read.
    """
    path = Path(path)
    with resource_errors(path):
        if not path.is_file():
            raise ModelFileError(f"{path}: does not exist", "correct the path, or make it with `compdistort train`")
        try:
            return _assemble(_read_members(_content(path)))
        except CompdistortError as error:
            remedy = error.remedy or _RETRAIN
            raise ModelFileError(f"{path}: {error.what}", remedy) from error
        except _DAMAGE as error:
            raise ModelFileError(f"{path}: is damaged ({error})", f"get the file again, or {_RETRAIN}") from error


def _meta(classifier: Classifier) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "features": classifier.features.to_dict(),
        "n_features": classifier.forest.n_features,
        "class_names": list(classifier.class_names),
        "class_values": list(classifier.class_values),
        "foreground": classifier.foreground,
        "ndim": classifier.ndim,
        "training": classifier.training,
    }


def _digest(members: dict[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return a hash over names, types, shapes and contents."""
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(set(members) - {"blake2b"}):
        array = members[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, if its size and its first bytes are those of a model."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelFileError(
            f"has {size} bytes, more than the limit of {MAX_BYTES}", "train with fewer or smaller trees"
        )
    content = path.read_bytes()
    if not content.startswith(b"PK"):
        kind = next((text for magic, text in _STRANGERS.items() if content.startswith(magic)), "of an unknown kind")
        raise ModelFileError(f"is {kind}, not a compdistort model", _RETRAIN)
    return content


def _read_members(content: bytes) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        names = [info.filename.removesuffix(".npy") for info in infos]
        needed = {"meta", "blake2b", *_ARRAYS}
        given = set(names)
        if len(given) != len(names) or given not in (needed, needed | set(_BINS)):
            raise ModelFileError("is a zip file without the members of a compdistort model")
        if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in infos):
            raise ModelFileError("has compressed members, which a compdistort model never has")
        if sum(info.file_size for info in infos) > len(content):
            raise ModelFileError(f"declares more bytes than it has ({len(content)})")
        members = {name: _read_array(archive, info, name) for name, info in zip(names, infos, strict=True)}
    if not np.array_equal(_digest(members), members["blake2b"]):
        raise ModelFileError("is damaged (its checksum is another)", f"get the file again, or {_RETRAIN}")
    return members


def _read_array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """Return one array; its header must be the one that this module writes, and its length what that header says."""
    content = archive.read(info)
    magic = np.lib.format.magic(1, 0)
    start = len(magic) + 2
    end = start + int.from_bytes(content[len(magic) : start], "little")
    header = _HEADER.fullmatch(content[start:end])
    if not content.startswith(magic) or header is None or header[1].decode() != _DTYPES[name]:
        raise ModelFileError(f"its member {name} is no plain array of type {_DTYPES[name]}")
    shape = tuple(int(word) for word in header[2].decode().split(",") if word.strip())
    dtype = np.dtype(_DTYPES[name])
    count = 1
    for length in shape:
        count *= length
    if len(shape) != _AXES.get(name, 1) or count * dtype.itemsize != len(content) - end:
        raise ModelFileError(f"its member {name} has the shape {shape}, which does not fit its {len(content)} bytes")
    return np.frombuffer(content, dtype, offset=end).reshape(shape).astype(dtype.newbyteorder("="))


def _assemble(members: dict[str, NDArray[Any]]) -> Classifier:
    meta = json.loads(members["meta"].tobytes())
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ModelFileError("is no compdistort model")
    if meta.get("version") != VERSION:
        raise ModelFileError(
            f"has version {meta.get('version')}, this program reads version {VERSION}",
            "use a newer version, or retrain",
        )
    forest = build_forest(
        feature=members["feature"],
        threshold=members["threshold"],
        left=members["left"],
        root=members["root"],
        leaf_value=members["leaf_value"],
        n_features=int(meta["n_features"]),
        bins=_bins_of(members),
    )
    return Classifier(
        features=FeatureSpec.from_dict(meta["features"]),
        forest=forest,
        class_names=tuple(str(name) for name in meta["class_names"]),
        class_values=tuple(int(value) for value in meta["class_values"]),
        foreground=int(meta["foreground"]),
        ndim=int(meta["ndim"]),
        training=_training_of(meta),
    )


def _training_of(meta: dict[str, Any]) -> dict[str, Any]:
    """Return the training report of a file; what it says of bins and of tuning must be usable, or it is damaged."""
    training = dict(meta["training"])
    if "bins" in training:
        describe_bins(training["bins"])
    tuned_pair(training)
    return training


def _bins_of(members: dict[str, NDArray[Any]]) -> FeatureBins | None:
    """Return the bins of a file, to be checked with the forest; the largest code is the largest level."""
    if "bin_knot" not in members:
        return None
    level = members["bin_level"]
    if not (level.size and np.isfinite(level).all()):
        raise ModelFileError("holds no valid forest (bins without levels)")
    return FeatureBins(top=int(level.max()), knot=members["bin_knot"], level=level)
