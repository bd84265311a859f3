"""The forest of a chain as networks: compiled beforehand, or known to be descended as yet."""

from compdistort.backend.bitsliced.voter import Voter, forest_note, voter_for
from compdistort.pipeline.chain import Chain

COMPILED = "numba"
"""Name of the engine whose forests are compiled to networks."""


def compile_forest(chain: Chain) -> Voter | None:
    """Compile the forest for the engine that votes by networks, or fetch it if it is; None for other engines."""
    if chain.backend.name != COMPILED:
        return None
    return voter_for(chain.classifier.forest, wait=True, foreground=chain.rule.foreground)


def descends(chain: Chain) -> bool:
    """Return whether trees are still descended that could be networks."""
    forest = chain.classifier.forest
    if chain.backend.name != COMPILED or forest_note(forest):
        return False
    return not voter_for(forest, wait=None, foreground=chain.rule.foreground).compiled
