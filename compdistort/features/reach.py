"""How far the filters of a bank see (see `compdistort.backend.reach`, where engines look it up too).

Examples
--------
>>> from compdistort.features import FeatureSpec, build_bank
>>> bank_reach(build_bank(FeatureSpec(set="plain", sigmas=(1.0,)), 2))
(4, 4)
"""

from compdistort.backend.reach import Span, bank_reach, spans_around

__all__ = ["Span", "bank_reach", "spans_around"]
