"""The stand-in for CuPy offers nothing that the real CuPy lacks, and refuses what the real one refuses."""

import inspect
import types

import numpy as np
import pytest
from cudahost import standin_cupy
from cudahost.standin_cupy import make_standin


def _names(standin, real, path="cupy"):
    """Yield (path, whether the real object has it) of every public name, modules and classes walked through."""
    for name, value in vars(standin).items():
        if name.startswith("_") or name in ("status",):
            continue
        yield f"{path}.{name}", hasattr(real, name)
        if hasattr(real, name) and (isinstance(value, types.ModuleType | types.SimpleNamespace) or _is_class(value)):
            yield from _names(value, getattr(real, name), f"{path}.{name}")


def _is_class(value):
    return inspect.isclass(value) and not issubclass(value, BaseException)


def test_every_name_is_cupys():
    cupy = pytest.importorskip("cupy")
    found = dict(_names(make_standin(), cupy))
    assert len(found) > 25
    assert [path for path, there in found.items() if not there] == []


def test_label_is_called_as_cupyx_wants_it():
    ndimage = pytest.importorskip("cupyx.scipy.ndimage")
    real = list(inspect.signature(ndimage.label).parameters)
    assert real[: len(inspect.signature(standin_cupy.label).parameters)] == list(
        inspect.signature(standin_cupy.label).parameters
    )


def test_an_array_of_the_device_is_never_taken_for_numpys():
    array = make_standin().zeros((2, 3), np.float32)
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(array)


def test_fresh_memory_is_not_zero():
    assert (make_standin().empty((4,), np.uint32).get() != 0).all()


def test_memory_can_be_too_small():
    cp = make_standin(largest=1000)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError):
        cp.empty((1001,), np.uint8)


def test_memory_counts_all_arrays_that_are_alive():
    cp = make_standin(total=1000)
    kept, gone = cp.empty((400,), np.uint8), cp.empty((500,), np.uint8)[:1]
    assert cp.cuda.runtime.memGetInfo() == (100, 1000)
    with pytest.raises(cp.cuda.memory.OutOfMemoryError):
        cp.empty((101,), np.uint8)
    del gone
    assert cp.cuda.runtime.memGetInfo() == (600, 1000)
    assert cp.empty((600,), np.uint8).size + kept.size == 1000


def test_an_array_and_its_parts_lie_on_the_device_that_was_current():
    cp = make_standin()
    with cp.cuda.Device(3):
        array = cp.empty((4, 2), np.uint8)
    assert {array.device.id, array[1:].device.id, array.reshape(8).device.id, array.view(np.uint16).device.id} == {3}
    assert cp.empty((1,)).device.id == 0
