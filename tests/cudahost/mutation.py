"""Planted bugs: a kernel file with one snippet changed, which some level must catch.

Each family lists its own in ``tests/kernels/mutations_*.py``; ``tests/kernels/test_mutations.py`` runs them all.
"""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cudahost.host_module import HostKernelError
from cudahost.levels import LevelUnavailableError, open_engine

from compdistort.backend.kernel_source import kernel_dir

LISTS = Path(__file__).resolve().parents[1] / "kernels"
LEVELS = ("plain", "checked", "shuffled", "ptx90", "asan")
"""Where a planted bug is looked for, after the level that its list names."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One planted bug.

    Attributes
    ----------
    name : str
        What is broken, in a few words with hyphens: the test's id.
    file : str
        Kernel or header file, with its suffix.
    old, new : str
        The snippet, which must occur exactly once, and what replaces it.
    body : callable
        Takes an engine; must fail on the changed kernel, and passes on the true one.
    level : str
        Where it is looked for first; the other levels follow.
    """

    name: str
    file: str
    old: str
    new: str
    body: Callable[[Any], None]
    level: str = "plain"

    def plant(self, folder: Path) -> Path:
        """Write all kernels with the bug in them to `folder`; return it."""
        shutil.copytree(kernel_dir(), folder)
        path = folder / self.file
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: the snippet occurs {text.count(self.old)} times in {self.file}")
        path.write_text(text.replace(self.old, self.new))
        return folder

    def levels(self) -> list[str]:
        """Return all levels in the order in which they are tried."""
        return [self.level, *(level for level in LEVELS if level != self.level)]


@dataclass(frozen=True, slots=True)
class Catch:
    """How a planted bug was found: on which level, and by which failure."""

    level: str
    message: str


def catch(mutation: Mutation, folder: Path) -> Catch | None:
    """Plant a bug and run its body on one level after another, until one fails as a wrong kernel makes it fail.

    Such are wrong results, broken rules, and right input that is refused. Any other failure, a changed kernel that
    does not build among them, is a defect of the list and raises; so does a level that is named but not there: the
    others may see nothing, and let the bug write where it likes.
    """
    planted = mutation.plant(folder)
    for level in mutation.levels():
        try:
            mutation.body(open_engine(level, directory=planted))
        except LevelUnavailableError:
            if level == mutation.level:
                raise
        except (AssertionError, HostKernelError, ValueError, pytest.fail.Exception) as error:
            return Catch(level, str(error).split("\n", 1)[0])
    return None


def all_mutations() -> tuple[Mutation, ...]:
    """Return the planted bugs of every list, by list."""
    found: list[Mutation] = []
    for path in sorted(LISTS.glob("mutations_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += module.MUTATIONS
    return tuple(found)
