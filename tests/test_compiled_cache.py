"""The compiled loops run where neither the package nor a home can be written to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import compdistort
from compdistort.backend.compiled import kept

RUN = """
import numpy as np
{before}
from compdistort.backend.compiled.accumulate import accumulate
sums = np.zeros((2, 3), np.uint64), np.zeros((2, 3), np.uint64)
accumulate(np.ones((4, 2, 3), np.uint16), *sums)
from compdistort.backend.compiled.kept import loops_folder
print(int(sums[0].sum()), loops_folder())
"""


@pytest.fixture
def sealed(tmp_path):
    """A copy of the package that cannot keep anything, and an environment without a home; root cannot write either."""
    shutil.copytree(Path(compdistort.__file__).parent, tmp_path / "compdistort", ignore=_without_caches)
    (tmp_path / "compdistort" / "backend" / "compiled" / "__pycache__").write_text("")
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    return kept | {"HOME": os.devnull, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}


def _without_caches(_folder, names):
    return [name for name in names if name == "__pycache__"]


def _run(environment, before=""):
    command = (sys.executable, "-c", RUN.format(before=before))
    return subprocess.run(
        command, env=environment, cwd=environment["PYTHONPATH"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("named", [True, False], ids=["in COMPDISTORT_CACHE", "in a temporary folder"])
def test_loops_are_kept_elsewhere(sealed, tmp_path, named):
    done = _run(sealed | {"COMPDISTORT_CACHE": str(tmp_path / "cache") if named else os.devnull})
    assert done.returncode == 0, done.stderr
    total, folder = done.stdout.split()
    assert total == "24"
    assert (Path(folder).parent == tmp_path / "cache" / "numba") == named
    assert any((tmp_path / "cache").rglob("*.nbi")) == named


def test_a_changed_source_has_a_folder_of_its_own_and_old_ones_go(sealed, tmp_path):
    """Numba would go on with old code: the file that changed is not the kept loop's own."""
    environment = sealed | {"COMPDISTORT_CACHE": str(tmp_path / "cache")}
    taps = tmp_path / "compdistort/backend/compiled/taps.py"
    folders = []
    for _ in range(kept.GENERATIONS + 1):
        folders.append(Path(_run(environment).stdout.split()[1]))
        taps.write_text(taps.read_text() + "# another\n")
    assert len(set(folders)) == len(folders)
    assert [folder.exists() for folder in folders] == [False] + [True] * kept.GENERATIONS


def test_numba_alone_would_refuse(sealed):
    """Negative control: without another folder this place compiles nothing."""
    before = "import compdistort.backend.compiled.kept as kept; kept.loops_folder = lambda: ''"
    done = _run(sealed, before)
    assert "no locator available" in done.stderr
