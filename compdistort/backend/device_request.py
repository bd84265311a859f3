"""Which device is asked for, and by whom: read and checked without looking at the machine.

Who decides, the first that speaks: an option, the environment variable COMPDISTORT_DEVICE, the study file, ``auto``.
Whoever it was stands in reasons and errors.
"""

import os
from dataclasses import dataclass

from compdistort.errors import ConfigError

DEVICES = ("auto", "cpu", "numba", "numpy", "cupy", "cuda")
"""Names of devices; ``cuda``, or its other name ``cupy``, may be followed by ``:i,j``."""

DEVICE_VARIABLE = "COMPDISTORT_DEVICE"
"""Environment variable: device where no option names one. Empty is as good as unset."""

OPTION = "--device"
"""Source of a device that the command line names."""

CUDA = ("cupy", "cuda")


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A device that is asked for; not checked yet.

    Attributes
    ----------
    name : str
        As it was written.
    source : str
        Who asks: an option, an environment variable, a key of a file; empty for an argument, or for nobody.
    """

    name: str = "auto"
    source: str = ""

    def __str__(self) -> str:
        return f"device '{self.name}'" + (f" ({self.source})" if self.source else "")

    @property
    def asked(self) -> str:
        """Who asked for what, for the log."""
        return f"asked for by {self.source or 'name'} ({self.name})"

    def parse(self) -> tuple[str, tuple[int, ...]]:
        """Return kind and numbers of devices: ``("cuda", (0, 1))`` of ``"cuda:0,1"``.

        Raises
        ------
        ConfigError
            For an unknown name, or numbers of devices that make no sense.
        """
        kind, colon, rest = self.name.partition(":")
        if kind not in DEVICES:
            raise ConfigError(f"{self} is unknown", f"use one of {', '.join(DEVICES)}")
        words = rest.split(",") if colon else []
        if words and kind not in CUDA:
            raise ConfigError(f"{self}: only cuda has numbers", f"write {kind}")
        if not all(word.isascii() and word.isdigit() for word in words):
            raise ConfigError(f"{self} is no list of devices", "write cuda, cuda:0 or cuda:0,1")
        numbers = tuple(int(word) for word in words)
        if len(set(numbers)) < len(numbers):
            raise ConfigError(f"{self} names a device twice", "name each once")
        return kind, numbers

    def require_one(self) -> None:
        """Refuse a list of several devices.

        Raises
        ------
        ConfigError
            For several devices, or as `parse`.
        """
        if len(self.parse()[1]) > 1:
            raise ConfigError(f"{self}: this command works on one device", "name one of them")


Device = str | DeviceRequest
"""What functions of the library take: a bare name, or a name with who asks for it."""


def requested(option: str | None = None, setting: DeviceRequest | None = None) -> DeviceRequest:
    """Return the device that is asked for: by the option, else by the environment, else by the setting.

    Parameters
    ----------
    option : str, optional
        What follows ``--device``; an empty word is a name like others, and no good one.
    setting : DeviceRequest, optional
        What a file asks for; default ``auto``.

    Returns
    -------
    DeviceRequest

    Examples
    --------
    >>> requested("numpy", DeviceRequest("cuda"))
    DeviceRequest(name='numpy', source='--device')
    """
    if option is not None:
        return DeviceRequest(option, OPTION)
    variable = os.environ.get(DEVICE_VARIABLE)
    if variable:
        return DeviceRequest(variable, DEVICE_VARIABLE)
    return setting or DeviceRequest()


def device_parts(device: str) -> tuple[str, ...]:
    """Return the single devices of a list, for workers of one device each; any other name alone.

    Raises
    ------
    ConfigError
        As `DeviceRequest.parse`.

    Examples
    --------
    >>> device_parts("cuda:0,1"), device_parts("cuda"), device_parts("cpu")
    (('cuda:0', 'cuda:1'), ('cuda',), ('cpu',))
    """
    kind, numbers = DeviceRequest(device).parse()
    return tuple(f"{kind}:{number}" for number in numbers) or (device,)
