"""FITS by astropy, an optional library: imported when it is first needed, with words for what can go wrong."""

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from compdistort.errors import ConfigError

EXTRA = "astropy (pip install 'compdistort[fits]')"


def missing() -> str:
    """Return what to install so that FITS works, or nothing."""
    return "" if importlib.util.find_spec("astropy") else EXTRA


def fits() -> Any:
    """Import ``astropy.io.fits``.

    Returns
    -------
    module

    Raises
    ------
    ConfigError
        If astropy is not installed, or something that it needs cannot be imported. A release of zfpy is such a thing:
        numcodecs, which astropy uses where it is there, reads the version ``1.0.1.post0`` as whole numbers and fails.
    """
    try:
        from astropy.io import fits as module  # noqa: PLC0415 - optional, and a quarter of a second
    except ImportError as error:
        raise ConfigError(f"astropy cannot be imported ({error})", f"install {EXTRA}") from error
    except ValueError as error:
        raise ConfigError(f"astropy cannot be imported ({error})", _remedy()) from error
    return module


def _remedy() -> str:
    try:
        found = version("zfpy")
    except PackageNotFoundError:
        return "repair the installation of astropy"
    return f"uninstall zfpy {found}, whose version numcodecs cannot read; ZFP itself comes with imagecodecs"
