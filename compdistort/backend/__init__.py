"""Choice of the engine at run time. Nothing heavy is imported before `get_backend` is called."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compdistort.errors import BackendUnavailableError, ConfigError

if TYPE_CHECKING:
    from compdistort.backend.base import Backend

DEVICES = ("auto", "cpu", "numba", "numpy", "cupy", "cuda")
"""Names that `get_backend` takes; ``cuda`` may be followed by ``:i,j``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which engine was chosen, and why.

    Attributes
    ----------
    name : str
        Name of the engine.
    reason : str
        One sentence for the log.
    """

    name: str
    reason: str


def choose(device: str = "auto") -> Choice:
    """Say which engine `get_backend` would give, without loading it.

    Parameters
    ----------
    device : str
        One of `DEVICES`.

    Returns
    -------
    Choice

    Raises
    ------
    ConfigError
        For an unknown name.
    BackendUnavailableError
        If a device was asked for by name that this version or machine does not have.
    """
    kind = device.split(":", 1)[0]
    if kind not in DEVICES:
        raise ConfigError(f"device '{device}' is unknown", f"use one of {', '.join(DEVICES)}")
    if kind in ("cupy", "cuda"):
        raise BackendUnavailableError(
            f"device '{device}': this version of compdistort has no CUDA engine yet", "use --device auto or cpu"
        )
    if kind == "auto":
        return Choice(name="numba", reason="CPU engine: this version has no CUDA engine yet")
    name = "numba" if kind == "cpu" else kind
    return Choice(name=name, reason=f"asked for by name ({device})")


def get_backend(device: str = "auto") -> "Backend[Any]":
    """Return the engine for `device`.

    Parameters
    ----------
    device : str
        ``auto``; ``cpu`` or ``numba`` (compiled loops); ``numpy`` (their slow, obvious twins).

    Returns
    -------
    Backend

    Raises
    ------
    ConfigError, BackendUnavailableError
        As `choose`.

    Examples
    --------
    >>> get_backend("numpy").name
    'numpy'
    """
    from compdistort.backend.numpy_backend import NumpyBackend  # noqa: PLC0415

    return NumpyBackend(jit=choose(device).name == "numba")
