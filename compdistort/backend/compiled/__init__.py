"""Numba loops, one file a family. Each function equals its namesake in `compdistort.backend.plain` to the bit."""
