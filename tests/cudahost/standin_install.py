"""Puts the stand-in of CuPy in the place of the real one, whole: driver, devices, compiler and loader.

Its NVRTC hands the source text back as machine code, and its `RawModule` builds that file with g++. So everything
between `--device cuda` and a result is the engine's own.
"""

import sys
import types
from pathlib import Path

from cudahost.host_module import HostModule
from cudahost.standin_cupy import CUDARuntimeError, Device, label, make_standin

from compdistort.backend import probe
from compdistort.backend.device.cubin import CACHE_VARIABLE

GIB = 1 << 30


class DynamicLibNotFoundError(RuntimeError):
    """What CuPy raises where NVRTC's library is not found."""


class StandinNvrtc:
    """`cupy.cuda.nvrtc`: counts what it compiles, and hands on ``edit(text)`` as machine code."""

    def __init__(self, archs=(75, 80, 90), edit=lambda text: text, missing=False):
        self.archs, self.edit, self.missing, self.compiled = archs, edit, missing, 0

    def getVersion(self):
        if self.missing:
            raise DynamicLibNotFoundError("Failure finding 'libnvrtc.so': No such file")
        return 13, 5

    def getSupportedArchs(self):
        return list(self.archs)

    def createProgram(self, text, name, headers, include_names):
        return text

    def compileProgram(self, program, options):
        self.compiled += 1

    def getCUBIN(self, program):
        return self.edit(program).encode()

    def getProgramLog(self, program):
        return ""

    def destroyProgram(self, program):
        pass


def forget():
    """Let the probe look again."""
    probe.machine.cache_clear()
    probe.device.cache_clear()


def install(
    monkeypatch, folder, *, count=1, capability=(9, 0), free=16 * GIB, version="14.2.0", fails=None, nvrtc=None
):
    """Install a stand-in with `count` devices; return it.

    `fails` maps ``"count"`` and ``("context", device)`` to the exception raised there; `folder` keeps machine code.
    """
    fails = fails or {}

    def checked(step, value):
        if step in fails:
            raise fails[step]
        return value

    class FallibleDevice(Device):
        def __enter__(self):
            checked(("context", self.id), None)
            return super().__enter__()

    module = make_standin(free=free)
    module.__version__ = version
    module.RawModule = lambda path: HostModule(Path(path).read_text(), "plain")
    module.cuda.Device = FallibleDevice
    module.cuda.nvrtc = nvrtc or StandinNvrtc()
    vars(module.cuda.runtime).update(
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13020,
        getDeviceCount=lambda: checked("count", count),
        deviceGetAttribute=lambda attribute, device: capability[attribute - 75],
        getDeviceProperties=lambda device: {"name": b"Stand-in %d" % device},
    )
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupyx.scipy.ndimage", types.SimpleNamespace(label=label))
    monkeypatch.setattr(probe, "header_problem", lambda: None)
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    forget()
    return module


def runtime_error(status):
    """Return what CuPy raises for a status of the CUDA runtime."""
    return CUDARuntimeError(status)
