"""The folder of a study: arrays, a journal that decides what exists, provenance, and a lock."""

from compdistort.store.study_store import ArrayWrite, StudyStore

__all__ = ["ArrayWrite", "StudyStore"]
