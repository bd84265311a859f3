"""Feature banks: which filters a pixel classifier sees, as half kernels that every backend reads alike."""

from compdistort.features.bank import build_bank, feature_names
from compdistort.features.spec import EIGENVALUES, FEATURE_SETS, OPERATORS, FeatureSpec, parse_spec

__all__ = ["EIGENVALUES", "FEATURE_SETS", "OPERATORS", "FeatureSpec", "build_bank", "feature_names", "parse_spec"]
