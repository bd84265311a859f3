"""The zarr arrays of a study: opened even where their descriptions are damaged, and compared by digest."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.io.files import resource_errors
from compdistort.store.journal import digest


def array_digest(data: NDArray[Any]) -> str:
    """Return the digest of type, shape and values of an array."""
    head = f"{data.dtype.str}{data.shape}".encode()
    return digest(head + np.ascontiguousarray(data).tobytes())


def open_group(root: Path, mode: str) -> Any:
    """Open a zarr v3 group; mode ``a`` makes it where it does not exist or its description is damaged."""
    import zarr  # noqa: PLC0415 - half a second that `import compdistort` must not pay

    if mode == "a":
        _drop_damaged(root / "zarr.json")
    return zarr.open_group(str(root), mode=mode, zarr_format=3)  # type: ignore[arg-type]


def existing_array(group: Any, path: Path, name: str) -> Any:
    """Return an array of a group; None where there is none, or its description is damaged: it is then removed.

    Parameters
    ----------
    group : zarr.Group
        The group.
    path : Path
        Folder of the array.
    name : str
        Its name in the group.
    """
    _drop_damaged(path.parent / "zarr.json")
    try:
        return group.get(name)
    except Exception:  # any failure to read is what we are asking about
        with resource_errors(path):
            shutil.rmtree(path)
        return None


def _drop_damaged(description: Path) -> None:
    """Remove the description of a group if it is damaged: it holds no result, and zarr writes it again."""
    try:
        good = json.loads(description.read_bytes())["node_type"] == "group"
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        with resource_errors(description):
            description.unlink()
