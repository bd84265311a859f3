"""The forest of a chain as networks: what its engine votes by, and whether that is compiled yet.

Numba and LLVM are loaded by the engines that need them alone, so they are imported where one of these is at hand.
"""

from importlib import import_module
from typing import Any

import numpy as np

from compdistort.pipeline.chain import Chain


def compile_seconds(chain: Chain) -> float:
    """Return what was spent on compiling the chain's forest in this process."""
    if not _votes_by_networks(chain):
        return 0.0
    seconds: float = _voters().compile_seconds(chain.classifier.forest)
    return seconds


def descends(chain: Chain) -> bool:
    """Return whether the chain's trees are descended so far, and are worth a try to compile them.

    Not those of which it is known that they cannot be compiled, nor where probabilities are smoothed that are no votes:
    they are always summed up tree by tree.
    """
    forest = chain.classifier.forest
    if not _votes_by_networks(chain) or _voters().forest_note(forest):
        return False
    if _target(chain) is None and not np.isin(forest.leaf_value, (0.0, 1.0)).all():
        return False
    return not _voter(chain, wait=None).compiled


def compile_beforehand(chain: Chain) -> bool:
    """Compile the chain's forest, some seconds to a minute, and return whether that could be done.

    Warns
    -----
    SlowForestWarning
        If it cannot be compiled.
    """
    compiled: bool = _voter(chain, wait=True).compiled
    return compiled


def _votes_by_networks(chain: Chain) -> bool:
    """Return whether the engine is the CPU's, or a device whose forest votes on the CPU."""
    return chain.backend.name == "numba" or getattr(chain.backend, "voter", "") == "cpu"


def _target(chain: Chain) -> int | None:
    """Return the class that the engine asks for; None = all, whose probabilities are smoothed."""
    return None if chain.rule.smoothing_px > 0 else chain.rule.foreground


def _voter(chain: Chain, *, wait: bool | None) -> Any:
    return _voters().voter_for(chain.classifier.forest, wait=wait, foreground=_target(chain))


def _voters() -> Any:
    return import_module("compdistort.backend.bitsliced.voter")
