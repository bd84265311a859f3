"""What a study is said to need, where its engine keeps memory that cannot be swapped out."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from compdistort.backend.cupy_backend import CupyBackend
from compdistort.backend.device.streaming import PIECE_BYTES, pinned_bytes
from compdistort.pipeline import forecast

GIB = 1 << 30


def _chain(voter, side=2048):
    """A chain whose engine tells its memory as the CUDA engine itself does."""
    backend = SimpleNamespace(name="cupy", voter=voter)
    backend.working_bytes = partial(CupyBackend.working_bytes, backend)
    return SimpleNamespace(
        backend=backend,
        bank=None,
        classifier=SimpleNamespace(forest=SimpleNamespace(n_features=25, n_classes=2)),
        raw=np.zeros((side, side), np.uint16),
    )


@pytest.mark.parametrize(
    ("threads", "devices", "voting"), [(1, 1, 1), (2, 1, 2), (16, 1, 2), (16, 2, 4), (2, 2, 2)], ids=str
)
def test_pieces_that_the_cpu_votes_on_are_counted_for_every_thread_at_work(threads, devices, voting):
    plain, streamed = (forecast._memory(_chain(voter), threads, devices) for voter in ("device", "cpu"))
    assert streamed - plain == voting * 2 * PIECE_BYTES


def test_pieces_of_a_small_image_are_small():
    assert pinned_bytes(25, 100 * 100) == 2 * 2 * 4 * 25 * 100 * 100
    assert pinned_bytes(25, 10**9) == 2 * PIECE_BYTES


def _fit(voter, max_memory):
    compute = SimpleNamespace(max_memory=max_memory, device="cuda", threads=8)
    return forecast.fit_threads(_chain(voter), SimpleNamespace(compute=compute, noise=SimpleNamespace(replicates=100)))


def test_voting_on_the_cpu_leaves_fewer_threads_inside_the_memory_limit():
    on_device, on_cpu = _fit("device", "2GiB"), _fit("cpu", "2GiB")
    assert on_cpu.threads < on_device.threads
    assert on_cpu.memory_bytes <= 2 * GIB
    assert on_cpu.notes
