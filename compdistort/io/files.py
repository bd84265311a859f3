"""Files written whole or not at all, hashes, and the machine's refusals as one-line errors."""

import errno
import hashlib
import itertools
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from compdistort.errors import CompdistortError, ConfigError, ImageFormatError, ResourceError

_SERIAL = itertools.count()
_CHUNK = 1 << 20
_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another folder"),
    errno.EFBIG: ("the file would pass the size limit", "raise the limit (ulimit -f) or choose another disk"),
    errno.EROFS: ("the disk is read-only", "choose a folder that can be written to"),
    errno.EACCES: ("permission is denied", "choose another folder or change its permissions"),
    errno.EPERM: ("permission is denied", "choose another folder or change its permissions"),
    errno.ENOENT: ("the file or its folder does not exist", "create it or correct the path"),
    errno.ENOTDIR: ("part of the path is a file, not a folder", "correct the path"),
    errno.EEXIST: (
        "a file of this name, or of a part of the path, is there",
        "correct the path or choose another name",
    ),
    errno.EISDIR: ("the path is a folder, not a file", "give the name of a file"),
    errno.ENOTEMPTY: ("the folder is not empty", "remove it or choose another name"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.EIO: ("the disk reports an error", "check the disk, then try again"),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n)"),
}
_REFUSALS = (errno.EIO, errno.EACCES, errno.EPERM, errno.EMFILE)
"""What the disk refuses whatever the bytes of the file are: no sign of damage."""


@contextmanager
def resource_errors(path: Path | str) -> Iterator[None]:
    """Turn what the operating system refuses into a `ResourceError` that names the path and the remedy.

    Parameters
    ----------
    path : Path or str
        What is being written (or read), for the message.

    Raises
    ------
    ResourceError
        For any OSError or MemoryError inside the block; the package's own errors pass unchanged.
    """
    try:
        yield
    except CompdistortError:
        raise
    except MemoryError as error:
        raise ResourceError(f"{path}: not enough memory", "use a smaller crop or a machine with more memory") from error
    except OSError as error:
        what, remedy = _REMEDIES.get(error.errno or 0, (error.strerror or str(error), "check the path and the disk"))
        raise ResourceError(f"{path}: {what}", remedy) from error


@contextmanager
def decoding_errors(where: Path | str, verb: str, remedy: str) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged data into an `ImageFormatError` of one line.

    Parameters
    ----------
    where : Path or str
        The file, or the part of it, for the message.
    verb : str
        What cannot be done, as in ``be decoded``.
    remedy : str
        What to do about it.

    Raises
    ------
    ImageFormatError
        For any error inside the block but the package's own, a lack of memory, and what the disk refuses.
    """
    try:
        yield
    except (CompdistortError, MemoryError):
        raise
    except Exception as error:  # the libraries raise almost every type there is on damaged files
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            raise
        reason = " ".join(str(error).split())[:120]
        raise ImageFormatError(f"{where}: cannot {verb} ({type(error).__name__}: {reason})", remedy) from error


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes the name `path` only when the block ends without an error.

    The data reach the disk before the name does, so that after a power cut the file is whole or absent.

    Parameters
    ----------
    path : Path or str
        Final name; an older file of that name is replaced.

    Yields
    ------
    Path
        Temporary name in the same folder, with the same suffix. The block has to create it, as a file or a folder.

    Raises
    ------
    ResourceError
        If the operating system refuses to write; nothing is left behind.
    """
    final = Path(path)
    require_place(final)
    partial = final.with_name(f".{final.stem}.{os.getpid()}-{next(_SERIAL)}.partial{final.suffix}")
    with resource_errors(final):
        try:
            yield partial
            sync_tree(partial)
            _replace(partial, final)
        except BaseException:
            _remove(partial)
            raise
        sync_folder(final.parent)


def require_place(path: Path | str) -> None:
    """Refuse an output path at which nothing can be written, before the work that would be lost.

    Parameters
    ----------
    path : Path or str
        File or folder to write.

    Raises
    ------
    ResourceError
        If it names no file, or the folder that it lies in does not exist.
    """
    final = Path(path)
    with resource_errors(final):
        if final.name in ("", ".."):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        if not stat.S_ISDIR(final.parent.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is a file")


def require_space(path: Path | str, n_bytes: int) -> None:
    """Refuse to write what the disk has no room for, before the work that would be lost.

    Parameters
    ----------
    path : Path or str
        File or folder to write; its folder exists.
    n_bytes : int
        Size of what is to be written, before compression.

    Raises
    ------
    ResourceError
        If fewer bytes are free.
    """
    with resource_errors(path):
        free = shutil.disk_usage(Path(path).parent).free
    if free < n_bytes:
        raise ResourceError(
            f"{path}: takes up to {n_bytes} bytes, the disk has {free} free", "free some space or choose another folder"
        )


def require_output(path: Path | str, inputs: Iterable[Path | str] = ()) -> None:
    """Refuse a file to write where nothing can be written, or where it would replace one of the `inputs`.

    Raises
    ------
    ResourceError
        As `require_place`.
    ConfigError
        If it is an input.
    """
    require_place(path)
    for each in map(Path, inputs):
        if Path(path).exists() and each.exists() and each.samefile(path):
            raise ConfigError(f"{path}: is an input, and would be overwritten", "choose another name with -o")


@contextmanager
def naming(where: Path | str) -> Iterator[None]:
    """Put `where` in front of the message of any of the package's errors that does not name it.

    Parameters
    ----------
    where : Path or str
        What the block works on, for rooms that see arrays and not files.
    """
    try:
        yield
    except CompdistortError as error:
        if str(where) not in error.what:
            error.what = f"{where}: {error.what}"
        raise


def _replace(partial: Path, final: Path) -> None:
    """Rename; a folder cannot replace a filled one in one step, so the older one is moved aside first."""
    if not (partial.is_dir() and final.is_dir()):
        partial.replace(final)
        return
    aside = partial.with_name(f"{partial.name}.old")
    final.rename(aside)
    partial.rename(final)
    shutil.rmtree(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync_tree(path: Path) -> None:
    """Flush a file, or every file and folder below a folder, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            sync_tree(child)
        sync_folder(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk."""
    if os.name == "nt":  # Windows cannot open a folder; its file systems journal the names themselves
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path | str) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files below a folder, in hexadecimal.

    Parameters
    ----------
    path : Path or str
        File or folder.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    ResourceError
        If it cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    with resource_errors(path):
        if not path.is_dir():
            _hash_into(digest, path)
            return digest.hexdigest()
        for child in sorted(p for p in path.rglob("*") if p.is_file()):
            name = child.relative_to(path).as_posix().encode()
            digest.update(len(name).to_bytes(8, "little") + name + child.stat().st_size.to_bytes(8, "little"))
            _hash_into(digest, child)
    return digest.hexdigest()


def _hash_into(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
