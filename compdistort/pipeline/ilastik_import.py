"""The classifier, the strokes and the raw images of an ilastik project as files of our own."""

import re
from pathlib import Path
from typing import Any

from compdistort.errors import ConfigError, InputError
from compdistort.forest import save_classifier
from compdistort.io.files import atomic_path, naming, require_output
from compdistort.io.ilastik import Lane, Project, dense_labels, read_internal_image, read_project, times
from compdistort.io.images import write_tiff
from compdistort.pipeline.ilastik_project import cautions_of, classifier_of, show_project

Shape = tuple[int, int, int]


def import_project(
    path: Path,
    *,
    model: Path | None = None,
    labels: Path | None = None,
    raw: Path | None = None,
    foreground: int | None = None,
    shape: Shape | None = None,
) -> dict[str, Any]:
    """Write the classifier, the strokes and the raw images of a project as files of our own.

    Parameters
    ----------
    path : Path
        The project.
    model : Path, optional
        Model file to write.
    labels, raw : Path, optional
        New folders for label images and for images that the project itself holds: one TIFF a lane, or a time point.
    foreground : int, optional
        Class number of the objects; default: the highest.
    shape : tuple of int, optional
        Planes, rows, columns of the annotated images, for projects of 1.2, which do not hold them.

    Returns
    -------
    dict
        JSON-ready: what `show_project` says, ``model``, ``labels`` and ``raw`` (file names), ``cautions``, ``spec``
        and ``foreground``.

    Raises
    ------
    ConfigError
        If nothing is to be written, or a folder is not new.
    ModelFileError, InputError
        As `classifier_of`; if there are no strokes or no images to write.
    ResourceError
        If a file cannot be written.
    """
    if model is None and labels is None and raw is None:
        raise ConfigError("nothing is to be written", "give -o, --labels or --raw")
    given = [each.resolve() for each in (model, labels, raw) if each is not None]
    if len(set(given)) < len(given):
        raise ConfigError("two outputs have one name", "give every output a name of its own")
    for folder in (labels, raw):
        _require_new(folder)
    if model is not None:
        require_output(model, [path])
    project = read_project(path)
    classifier = None if model is None else classifier_of(project, foreground)
    written_labels = [] if labels is None else _write_labels(project, labels, shape)
    written_raw = [] if raw is None else _write_raw(project, raw)
    if model is not None and classifier is not None:
        save_classifier(model, classifier)
    return {
        **show_project(path),
        "model": None if model is None else str(model),
        "labels": [str(file) for file in written_labels],
        "raw": [str(file) for file in written_raw],
        "cautions": [] if classifier is None else list(cautions_of(project, classifier)),
        "spec": None if classifier is None else classifier.features.to_dict(),
        "foreground": None if classifier is None else classifier.foreground_value,
    }


def parse_shape(text: str) -> Shape:
    """Return planes, rows and columns, of which the planes may be left out.

    Raises
    ------
    ConfigError
        If it has another form.

    Examples
    --------
    >>> parse_shape("99,105"), parse_shape("9,99,105")
    ((1, 99, 105), (9, 99, 105))
    """
    if not re.fullmatch(r"[0-9]{1,9}(,[0-9]{1,9}){1,2}", text):
        raise ConfigError(f"shape '{text}' is not readable", "write planes,rows,columns or rows,columns")
    *planes, rows, columns = (int(word) for word in text.split(","))
    return planes[0] if planes else 1, rows, columns


def _require_new(folder: Path | None) -> None:
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there already, and not empty", "give the name of a new folder")


def _file_name(lane: Lane, time: int) -> str:
    return f"lane{lane.number:04d}_t{time:04d}.tif" if lane.image.length("t") != 1 else f"lane{lane.number:04d}.tif"


def _write_labels(project: Project, folder: Path, shape: Shape | None) -> list[Path]:
    chosen = [(lane, time) for lane in project.lanes for time in times(lane)]
    if not chosen:
        raise InputError(f"{project.path}: nothing was drawn", "draw strokes in ilastik, and save")
    with atomic_path(folder) as partial, naming(project.path):
        partial.mkdir()
        for lane, time in chosen:
            write_tiff(partial / _file_name(lane, time), dense_labels(lane, time, shape))
    return [folder / _file_name(lane, time) for lane, time in chosen]


def _write_raw(project: Project, folder: Path) -> list[Path]:
    lanes = [lane for lane in project.lanes if lane.image.kind == "internal"]
    if not lanes:
        paths = ", ".join(lane.image.path for lane in project.lanes[:3])
        raise InputError(f"{project.path}: holds no image, it refers to {paths or 'none'}", "use those files")
    names = []
    with atomic_path(folder) as partial:
        partial.mkdir()
        for lane in lanes:
            for time, image in enumerate(read_internal_image(project, lane.number)):
                names.append(_file_name(lane, time))
                write_tiff(partial / names[-1], image[0] if len(image) == 1 else image)
    return [folder / name for name in names]
