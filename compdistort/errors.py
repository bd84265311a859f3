"""Every exception and warning of the package, and the exit code that the command line gives each.

A message is one line: what is wrong, where, with which value; `remedy` says what to do about it. Both are
printed together. Each leaf also inherits the builtin exception that a caller of the library would catch.
"""

EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_INPUT = 3
EXIT_RESOURCE = 4
EXIT_INTERRUPTED = 5
EXIT_VERDICT = 6


class CompdistortError(Exception):
    """Root of all errors that the package raises on purpose.

    Parameters
    ----------
    what : str
        What is wrong, naming the file or setting and the value.
    remedy : str, optional
        What the user can do about it.
    """

    exit_code = EXIT_INTERNAL

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class ConfigError(CompdistortError, ValueError):
    """A study file, an option or an argument is not usable."""

    exit_code = EXIT_USAGE


class UnknownCodecError(ConfigError, LookupError):
    """A codec id that the registry does not hold."""


class UnknownFeatureError(ConfigError, LookupError):
    """A feature set or operator that does not exist."""


class InputError(CompdistortError, ValueError):
    """Bad input data: image, annotation, calibration or model file."""

    exit_code = EXIT_INPUT


class ImageFormatError(InputError):
    """An image file that is damaged, lies about itself, or has the wrong kind of pixels."""


class AnnotationError(InputError):
    """Annotations that do not fit the image or cannot train a classifier."""


class CalibrationError(InputError):
    """Calibration frames or a sensor model that cannot be right, or do not fit the image."""


class ModelFileError(InputError):
    """A classifier file that is damaged, unsafe, or was made for other features."""


class CodecRangeError(InputError):
    """Pixel values, dtype or shape outside what a codec can carry without damage."""


class StoreError(InputError):
    """A study folder that is damaged or of an unknown version."""


class ResourceError(CompdistortError, OSError):
    """The machine cannot do it: disk, memory, permissions."""

    exit_code = EXIT_RESOURCE


class ImageTooLargeError(ResourceError, ImageFormatError):
    """An image that takes more memory than it may."""


class StoreLockedError(ResourceError):
    """Another process is writing to the same study folder."""


class BackendUnavailableError(CompdistortError, ImportError):
    """A backend that was asked for by name cannot be used here."""

    exit_code = EXIT_RESOURCE


class KernelCompileError(CompdistortError, RuntimeError):
    """A CUDA kernel cannot be found, compiled or loaded on this machine."""

    exit_code = EXIT_RESOURCE


class DeviceMemoryError(ResourceError, MemoryError):
    """The GPU has too little free memory, even for the smallest slab."""


class DeviceFailedError(ResourceError):
    """The GPU failed while it worked; this process cannot use it any more."""


class InterruptedStudyError(CompdistortError):
    """The study was stopped; what is committed stays, and `resume` goes on from there."""

    exit_code = EXIT_INTERRUPTED
