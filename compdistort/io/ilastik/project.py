"""Reading an ilastik project of pixel classification, with h5py alone and without trust."""

import re
from pathlib import Path

from compdistort.errors import InputError
from compdistort.io.ilastik.axes import Version, check_axes, parse_axistags, parse_version
from compdistort.io.ilastik.forest import read_forest
from compdistort.io.ilastik.hdf5 import Guarded, guarded
from compdistort.io.ilastik.labels import read_strokes
from compdistort.io.ilastik.records import ImageReference, Lane, Project, canonical
from compdistort.io.ilastik.selection import read_selection
from compdistort.io.pixels import DEFAULT_MAX_BYTES, Image, check_pixels

INFOS = "/Input Data/infos"
RAW_ROLE = "Raw Data"
_PIXELS = "/PixelClassification"
_KINDS = {
    "ProjectInternalDatasetInfo": "internal",
    "RelativeFilesystemDatasetInfo": "relative",
    "FilesystemDatasetInfo": "file",
}
_INNER = re.compile(r"(.+?\.(?:h5|hdf5|ilp|n5|zarr))/(.+)", re.IGNORECASE)
_MAX_LANES = 10_000


def read_project(path: Path | str) -> Project:
    """Read everything of a project but the pixels of its images.

    Parameters
    ----------
    path : Path or str
        The ``.ilp`` file, written by ilastik 0.6 or 1.0 to 1.5, of a workflow with pixel classification.

    Returns
    -------
    Project
        A classifier that is not a forest of vigra is left out, and `Project.no_forest` says so.

    Raises
    ------
    InputError
        If it is missing, damaged, of an unknown version or workflow, or holds what cannot be decided.
    ResourceError
        If it may not be read.
    """
    with guarded(path) as file:
        version_text = file.text("/ilastikVersion")
        if version_text is None:
            raise file.error("/ilastikVersion", "is missing: this is no ilastik project", "give an .ilp file")
        version = parse_version(version_text, str(file.path))
        if file.find(_PIXELS) is None:
            raise file.error(_PIXELS, "is missing: this workflow has no pixel classification", "give another project")
        workflow = file.text("/workflowName") or ""
        listed = f"{_PIXELS}/LabelNames"
        names = () if file.is_marked_empty(listed) else file.texts(listed) or ()
        lanes = _read_lanes(file, version, workflow)
        _check_numbers(file, lanes, len(names))
        forest, reason = read_forest(file)
        return Project(
            path=str(file.path),
            version=version_text,
            workflow=workflow,
            lanes=lanes,
            class_names=names,
            class_colours=_read_colours(file, len(names)),
            selection=read_selection(file),
            forest=forest,
            no_forest=reason,
        )


def read_internal_image(project: Project, number: int, max_bytes: int = DEFAULT_MAX_BYTES) -> Image:
    """Read the raw image of a lane out of the project.

    Parameters
    ----------
    project : Project
        As read.
    number : int
        Lane.
    max_bytes : int
        Largest image.

    Returns
    -------
    ndarray of shape (times, planes, rows, columns), stored type
        Native byte order.

    Raises
    ------
    InputError
        If the image is in another file, has several channels, or the stored array is another than the project says.
    """
    image = project.lane(number).image
    if image.kind != "internal":
        raise InputError(
            f"{project.path}: lane {number}: its image is not in the project but {image.path!r}", "read that file"
        )
    with guarded(project.path) as file:
        found = file.dataset(image.path)
        if found is None:
            raise file.error(image.path, "is missing")
        file.check(found, "buif")
        if found.nbytes > max_bytes:
            raise file.error(image.path, f"takes {found.nbytes} bytes, above the limit of {max_bytes}", "use a crop")
        if found.ndim != len(image.axes) or (image.shape is not None and found.shape != image.shape):
            raise file.error(image.path, f"has the shape {found.shape}, the project says {image.axes} {image.shape}")
        if "c" in image.axes and found.shape[image.axes.index("c")] != 1:
            raise file.error(image.path, f"has several channels ({image.axes} {found.shape})", "save one channel")
        return check_pixels(file.path, canonical(found[()], image.axes), "any")


def _read_lanes(file: Guarded, version: Version, workflow: str) -> tuple[Lane, ...]:
    names = [name for name in file.names(INFOS) if re.fullmatch(r"lane[0-9]{4,8}", name)]
    if len(names) > _MAX_LANES:
        raise file.error(INFOS, f"has {len(names)} lanes, at most {_MAX_LANES} are read", "split the project")
    lanes = []
    for name in names:
        if RAW_ROLE not in file.names(f"{INFOS}/{name}"):
            raise file.error(f"{INFOS}/{name}", f"has no {RAW_ROLE}", "open and save it with ilastik 1.4")
        image = _read_reference(file, f"{INFOS}/{name}/{RAW_ROLE}")
        if image is not None:
            number = int(name[4:])
            lanes.append(Lane(number=number, image=image, strokes=read_strokes(file, number, image, version, workflow)))
    return tuple(lanes)


def _read_reference(file: Guarded, group: str) -> ImageReference | None:
    """Return where the image of a role lies; None for a role that is not used."""
    if not file.names(group):
        return None
    axes = _read_axes(file, group)
    stored = file.array(f"{group}/shape", "iu", 1)
    shape = None if stored is None else tuple(int(n) for n in stored[:8])
    if shape is not None and (len(shape) != len(axes) or min(shape) < 1):
        raise file.error(f"{group}/shape", f"the shape {shape} does not fit the axes {axes}")
    name = file.text(f"{group}/nickname") or ""
    kind, path = _read_place(file, group)
    inner = ""
    if kind in ("relative", "file") and (found := _INNER.fullmatch(path)):
        path, inner = found[1], found[2]
    pixels = file.dataset(path) if kind == "internal" else None
    dtype = "" if pixels is None else pixels.dtype.name
    return ImageReference(kind=kind, path=path, inner_path=inner, name=name, axes=axes, shape=shape, dtype=dtype)


def _read_axes(file: Guarded, group: str) -> str:
    tags = file.text(f"{group}/axistags")
    order = file.text(f"{group}/axisorder")
    axes = check_axes(order or "") if tags is None else parse_axistags(tags)
    if axes is None:
        raise file.error(group, "its axes are not those of an image (t, z, y, x, c)", "set them in ilastik, and save")
    return axes


def _read_place(file: Guarded, group: str) -> tuple[str, str]:
    """Return kind and path of an image; projects of 1.2 name no class, their location decides."""
    named = file.text(f"{group}/__class__")
    path = file.text(f"{group}/filePath") or ""
    if named is not None:
        kind = _KINDS.get(named, "other")
    elif file.text(f"{group}/location") == "ProjectInternal":
        kind = "internal"
    else:
        kind = "file" if re.match(r"/|[A-Za-z]:[\\/]", path) else "relative"
    if kind == "internal":
        number = file.text(f"{group}/datasetId")
        path = file.text(f"{group}/inner_path") or f"/Input Data/local_data/{number}"
    return kind, path


def _read_colours(file: Guarded, n_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Return the colours of the classes; () where the file holds none, or not one for each."""
    found = file.array(f"{_PIXELS}/LabelColors", "iuf", 2) if n_classes else None
    if found is None or found.shape != (n_classes, 3) or not ((found >= 0) & (found <= 255)).all():
        return ()
    return tuple((int(r), int(g), int(b)) for r, g, b in found)


def _check_numbers(file: Guarded, lanes: tuple[Lane, ...], n_classes: int) -> None:
    """Refuse strokes of a class without a name."""
    for lane in lanes:
        highest = max(lane.counts(), default=0)
        if highest > n_classes:
            raise file.error(
                f"lane {lane.number}", f"strokes of class {highest}, the project names {n_classes} classes"
            )
