"""Starts a worker process of a study on a machine of stand-in devices, in the place of `workers._begin`.

What is done here happens in the spawned process, which shares nothing with the test but the folder.
"""

import os
import sys

import pytest
from cudahost.standin_install import install

from compdistort.pipeline import workers

_begin = workers._begin


def watch(module, folder):
    """Note every device that this process enters, as a file ``devices-PROCESS-NUMBER``."""

    class Watched(module.cuda.Device):
        def __enter__(self):
            (folder / f"devices-{os.getpid()}-{self.id}").touch()
            return super().__enter__()

    module.cuda.Device = Watched


def begin(folder, count, stopped):
    """Note what is imported so far (file ``modules-PROCESS``), install `count` devices, and begin as workers do."""
    loaded = {name.partition(".")[0] for name in sys.modules}
    (folder / f"modules-{os.getpid()}").write_text(" ".join(sorted(loaded)))
    watch(install(pytest.MonkeyPatch(), folder / "cache", count=count), folder)
    _begin(stopped)
