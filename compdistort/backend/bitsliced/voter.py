"""A forest that votes on features: by compiled networks where there are some, else by descents; the same bits always.

Compiling takes seconds, once for each forest, class and kind of machine. Who cannot wait is handed the descents, while
one thread at a time compiles in the background; a later call is handed the networks.
"""

import hashlib
import os
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import FlatForest
from compdistort.backend.bitsliced.background import Background
from compdistort.backend.bitsliced.codes import Encoder, encoder_of
from compdistort.backend.bitsliced.descent import Descent
from compdistort.backend.bitsliced.machine import turn
from compdistort.backend.bitsliced.network import Network, StoppedError, make_network
from compdistort.backend.bitsliced.network_voter import Compiled, Voter, refuse_used_nan
from compdistort.errors import CompdistortError

__all__ = [
    "Compiled",
    "SlowForestWarning",
    "Voter",
    "compile_seconds",
    "forest_note",
    "refuse_used_nan",
    "voter_for",
]

_KEPT = 8


class SlowForestWarning(UserWarning):
    """A forest cannot be compiled, so its trees are descended: same results, later."""


@dataclass(slots=True)
class _Known:
    """What is known of a forest, by its content."""

    forest: FlatForest
    digest: bytes
    descent: Descent
    complement: bool
    encoder: Encoder | None = None
    networks: dict[int, Network] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    note: str = ""
    said: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def make(self, targets: tuple[int, ...]) -> None:
        """Compile what is missing; where that is not possible, note why."""
        with self.lock:
            try:
                for target in targets:
                    if target not in self.networks and not self.note:
                        with turn:  # Numba's loops are compiled at their first call
                            self.encoder = self.encoder or encoder_of(_coded(self.forest))
                        self.networks[target] = make_network(
                            _coded(self.forest), self.digest, self.encoder, target, _BACKGROUND.stopping
                        )
            except (CompdistortError, RuntimeError, OSError, MemoryError) as error:
                self.note = f"{type(error).__name__}: {error}"
            except StoppedError:
                return

    def voter(self) -> "Compiled | Descent":
        if self.encoder is None or not self.networks:
            return self.descent
        return Compiled(self.descent.used, self.encoder, self.descent, dict(self.networks), self.complement)


_BACKGROUND = Background()
_known: OrderedDict[bytes, _Known] = OrderedDict()
_digests: OrderedDict[int, tuple[FlatForest, bytes]] = OrderedDict()
_guard = threading.Lock()


def _forked() -> None:
    """In a child nobody goes on with what other threads of the parent were about."""
    global _guard  # noqa: PLW0603 - the lock may be held by a thread that is not here
    _guard = threading.Lock()
    _known.clear()
    _digests.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def voter_for(forest: FlatForest, *, wait: bool | None, foreground: int | None = None) -> Compiled | Descent:
    """Return what votes for a forest.

    Parameters
    ----------
    forest : FlatForest
        The trees; must not change.
    wait : bool or None
        True: compile now what is not compiled yet. False: that begins in the background, and descents vote meanwhile.
        None: nothing is begun; networks vote where there are some.
    foreground : int, optional
        The class that will be asked for; default all classes.

    Returns
    -------
    Compiled or Descent

    Warns
    -----
    SlowForestWarning
        If the forest cannot be compiled; `forest_note` says why.
    """
    known = _lookup(forest)
    classes = tuple(range(forest.n_classes)) if foreground is None else (foreground,)
    targets = (1,) if known.complement else classes
    missing = tuple(target for target in targets if target not in known.networks)
    if missing and not known.note:
        if wait:
            known.make(missing)
        elif wait is not None:
            with _guard:
                new = tuple(target for target in missing if target not in known.asked)
                known.asked.update(new)
            if new:
                _BACKGROUND.put(lambda: known.make(new))
    if known.note and not known.said:
        known.said = True
        warnings.warn(f"the forest is not compiled, its trees are descended ({known.note})", SlowForestWarning, 2)
    if any(target not in known.networks for target in targets):
        return known.descent
    return known.voter()


def forest_note(forest: FlatForest) -> str:
    """Return why a forest cannot be compiled, or nothing."""
    return _lookup(forest).note


def compile_seconds(forest: FlatForest) -> float:
    """Return what compiling a forest took in this process; 0 where it was read from disk, or is not compiled."""
    return sum(network.seconds for network in list(_lookup(forest).networks.values()))  # more may come meanwhile


def _lookup(forest: FlatForest) -> _Known:
    with _guard:
        digest = _digest(forest)
        if digest not in _known:
            _known[digest] = _Known(forest, digest, Descent.of(forest), _is_complement(forest))
        _known.move_to_end(digest)
        while len(_known) > _KEPT:
            _known.popitem(last=False)
        return _known[digest]


def _coded(forest: FlatForest) -> FlatForest:
    """Return the forest whose codes are compared.

    Bins of 16 bits are left: ranks take longer to find, but have fewer digits to compare, which is more.
    """
    wide = forest.bins is not None and forest.bins.top > np.iinfo(np.uint8).max
    return replace(forest, bins=None) if wide else forest


def _is_complement(forest: FlatForest) -> bool:
    value = forest.leaf_value
    return value.shape[1] == 2 and bool(np.isin(value, (0.0, 1.0)).all() and (value.sum(axis=1) == 1).all())


def _digest(forest: FlatForest) -> bytes:
    """Return the hash of a forest's content, computed once while the same object is in use."""
    if id(forest) not in _digests:
        parts: list[NDArray[Any]] = [
            forest.feature,
            forest.threshold,
            forest.left,
            forest.root,
            forest.depth,
            forest.leaf_value,
        ]
        parts += [] if forest.bins is None else [forest.bins.knot, forest.bins.level, np.array(forest.bins.top)]
        found = hashlib.blake2b(repr(forest.n_features).encode(), digest_size=32)
        for part in parts:
            found.update(repr((part.dtype.str, part.shape)).encode())
            found.update(np.ascontiguousarray(part))
        _digests[id(forest)] = forest, found.digest()
    _digests.move_to_end(id(forest))
    while len(_digests) > _KEPT:
        _digests.popitem(last=False)
    return _digests[id(forest)][1]
