"""What the names of files say: the format, and the order of the planes in a folder."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from compdistort.errors import ImageFormatError

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5", ".nxs")
INSIDE = "::"
"""Between the path of an HDF5 file and the name of a dataset in it."""
_MAGIC = {
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF", b"\x89PNG": "PNG", b"\x93NUM": "npy",
    b"\x89HDF": "HDF5",
}  # fmt: skip
_DATASET = re.compile(rf"(.*?(?:{'|'.join(map(re.escape, HDF5_SUFFIXES))})){INSIDE}(.+)", re.IGNORECASE | re.DOTALL)


def file_format(path: Path, suffixes: Mapping[str, str], use: str) -> str:
    """Return the format of a file; its name and its first bytes must agree.

    Parameters
    ----------
    path : Path
        The file.
    suffixes : mapping of str to str
        Format of each suffix that is taken, with its dot, in lower case.
    use : str
        Remedy for any other.

    Returns
    -------
    str
        One of the values of `suffixes`.

    Raises
    ------
    ImageFormatError
        Missing, empty, no plain file, unknown, or named as what it is not.
    """
    if not path.exists():
        raise ImageFormatError(f"{path}: does not exist", "correct the path")
    if not path.is_file():
        raise ImageFormatError(f"{path}: is not a plain file", use)
    named = suffixes.get(path.suffix.lower())
    if named is None:
        raise ImageFormatError(f"{path}: has the unknown suffix '{path.suffix}'", use)
    with path.open("rb") as file:
        head = file.read(4)
    if not head:
        raise ImageFormatError(f"{path}: is empty", "get the file again")
    if _MAGIC.get(head) != named:
        really = f"is {_MAGIC[head]}" if head in _MAGIC else "has other first bytes"
        raise ImageFormatError(
            f"{path}: is named as {named} but {really}", "give it the suffix of what it holds, or get the file again"
        )
    return named


def split_dataset(path: Path | str) -> tuple[Path, str | None]:
    """Return the file of a path, and the dataset in it that the path names as ``FILE.h5::DATASET``.

    Parameters
    ----------
    path : Path or str
        Path of a file or folder; only behind the suffix of an HDF5 file does ``::`` end it.

    Returns
    -------
    Path
        The file.
    str or None
        Name of the dataset; None where the path names none.

    Examples
    --------
    >>> split_dataset("masks/all.h5::volume/labels")
    (PosixPath('masks/all.h5'), 'volume/labels')
    >>> split_dataset("masks/all.h5"), split_dataset("a::b.tif")
    ((PosixPath('masks/all.h5'), None), (PosixPath('a::b.tif'), None))
    """
    found = _DATASET.fullmatch(str(path))
    return (Path(path), None) if found is None else (Path(found[1]), found[2])


def short_name(path: Path | str) -> str:
    """Return the name of a file without its folders, and of the dataset in it that the path names.

    Examples
    --------
    >>> short_name("masks/all.h5::volume/labels"), short_name("masks/a.tif")
    ('all.h5::volume/labels', 'a.tif')
    """
    file, dataset = split_dataset(path)
    return file.name if dataset is None else f"{file.name}{INSIDE}{dataset}"


def is_zarr(path: Path) -> bool:
    """Return whether a folder has the metadata file of a Zarr group or array."""
    return any((path / name).is_file() for name in ("zarr.json", ".zattrs", ".zgroup", ".zarray"))


def plane_files(folder: Path) -> list[Path]:
    """Return the TIFF files of a folder, frame_2 before frame_10; hidden ones are left out."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in TIFF_SUFFIXES and p.name[0] != ".")
    return sorted(files, key=_natural)


def check_sequence(folder: Path, files: Sequence[Path]) -> None:
    """Refuse numbered planes of which one is missing, and names that do not make one sequence.

    The names may differ in nothing but numbers, and one of these numbers has to grow by the same step from each file to
    the next. The smallest step in the folder is the right one. Names without numbers have no order to check.

    Parameters
    ----------
    folder : Path
        For the message.
    files : sequence of Path
        As `plane_files` gives them.

    Raises
    ------
    ImageFormatError
        With the missing number, or with the two names that do not fit together.
    """
    words = [re.split(r"(\d+)", file.name) for file in files]
    if len(files) == 1 or all(len(each) == 1 for each in words):
        return
    texts = [tuple(each[::2]) for each in words]
    common = Counter(texts).most_common(1)[0][0]
    for file, text in zip(files, texts, strict=True):
        if text != common:
            raise ImageFormatError(
                f"{folder}: {file.name} is named otherwise than {files[texts.index(common)].name}",
                "put the planes of one volume, and nothing else, in a folder",
            )
    columns = [[int(number) for number in column] for column in zip(*(each[1::2] for each in words), strict=True)]
    growing = [column for column in columns if all(a < b for a, b in pairwise(column))]
    gaps = [_gap(column) for column in growing]
    if not growing:
        raise ImageFormatError(
            f"{folder}: the names of its files count along several axes ({files[0].name}, {files[1].name}, ...)",
            "put the planes of one channel and one time in a folder",
        )
    if None not in gaps:
        # Of several growing numbers one that jumps by whole steps counts the planes; others are times or the like.
        gap = min((gap for gap in gaps if gap is not None), key=lambda gap: (gap.jump % 1 != 0, gap.jump))
        raise ImageFormatError(
            f"{folder}: plane {gap.missing} is missing, {files[gap.before].name} is followed by "
            f"{files[gap.before + 1].name}",
            "complete the folder, or number the files without a gap",
        )


@dataclass(frozen=True, slots=True)
class _Gap:
    """The first jump in a sequence of numbers: after which file, the number expected there, and its size in steps."""

    before: int
    missing: int
    jump: float


def _gap(numbers: Sequence[int]) -> _Gap | None:
    steps = [b - a for a, b in pairwise(numbers)]
    step = min(steps)
    for index, each in enumerate(steps):
        if each != step:
            return _Gap(index, numbers[index] + step, each / step)
    return None


def _natural(path: Path) -> list[tuple[int, int, str]]:
    return [
        (1, 0, word) if not word.isdecimal() else (0, int(word), word) for word in re.findall(r"\d+|\D+", path.name)
    ]
