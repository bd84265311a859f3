"""What is predicted of an image, in general: parameters of its objects, totals, and how both follow from a table."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from compdistort.backend.base import Float64
from compdistort.errors import InputError

KINDS = ("area", "length", "position", "angle-axial", "ratio", "volume")
"""What a parameter is; an axial angle has period 180 degrees."""

PX, MICROMETRE = "px", "µm"


def unit_of(kind: str, length: str = PX) -> str:
    """Return the unit of a kind of parameter.

    Examples
    --------
    >>> unit_of("area"), unit_of("volume", "µm"), unit_of("ratio")
    ('px^2', 'µm^3', '1')
    """
    fixed = {"angle-axial": "deg", "ratio": "1"}
    return fixed.get(kind) or length + {"area": "^2", "volume": "^3"}.get(kind, "")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an object parameter is, and what others call it.

    Attributes
    ----------
    column : str
        Its name: in 2D ImageJ's (or BioVoxxel's) column.
    label : str
        The paper's words.
    kind : str
        One of `KINDS`.
    step : float
        The smallest difference that two values can have, whatever the object, in the parameter's unit; 0 where there
        is none. It is the resolution q of the standard score, whose divisor is no less than q / sqrt(12).
    skimage : str or None
        Nearest property of scikit-image's `regionprops_table`.
    skimage_offset : float or None
        scikit-image's value plus this is ours; None where it is defined otherwise.
    meaning : str
        What it is, in a report's words.
    length : str
        Unit of length.
    """

    column: str
    label: str
    kind: str
    step: float = 0.0
    skimage: str | None = None
    skimage_offset: float | None = None
    meaning: str = ""
    length: str = PX

    @property
    def unit(self) -> str:
        """Unit: ``px``, ``px^2``, ``µm^3``, ``deg``, ``1`` and so on."""
        return unit_of(self.kind, self.length)


@dataclass(frozen=True, slots=True)
class Total:
    """What is predicted of a whole image.

    Attributes
    ----------
    name : str
        Short name, e.g. ``N``.
    meaning : str
        In words.
    kind : str
        ``"count"``, or one of `KINDS`.
    step : float
        Smallest difference of two values; 0 where there is none.
    decides : bool
        Whether a verdict may rest on it: a total that follows from two others does not.
    length : str
        Unit of length.
    """

    name: str
    meaning: str
    kind: str
    step: float = 0.0
    decides: bool = True
    length: str = PX

    @property
    def unit(self) -> str:
        """Unit; empty for a count."""
        return "" if self.kind == "count" else unit_of(self.kind, self.length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurands:
    """What is predicted of an image and its objects.

    Attributes
    ----------
    ndim : int
        Axes of the images, 2 or 3.
    columns : tuple of str
        Columns of the object table that a backend measures.
    parameters : tuple of Parameter
        What is predicted of every object.
    totals : tuple of Total
        What is predicted of the image.
    size : str
        The parameter that says how large an object is.
    centre : tuple of str
        The parameters that say where it is.
    of_table : callable
        From a table of `columns` to one of `parameters`.
    of_image : callable
        From a table of `parameters` to `totals`.
    """

    ndim: int
    columns: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    totals: tuple[Total, ...]
    size: str
    centre: tuple[str, ...]
    of_table: Callable[[Float64], Float64]
    of_image: Callable[[Float64], tuple[float, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in order."""
        return tuple(parameter.column for parameter in self.parameters)

    @property
    def total_names(self) -> tuple[str, ...]:
        """Names of the totals, in order."""
        return tuple(total.name for total in self.totals)

    @property
    def derived(self) -> frozenset[str]:
        """Names of the totals that follow from others."""
        return frozenset(total.name for total in self.totals if not total.decides)

    def index(self, name: str) -> int:
        """Return where a parameter stands."""
        return self.names.index(name)

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by its name."""
        return self.parameters[self.index(name)]

    def total(self, name: str) -> Total:
        """Return a total by its name."""
        return self.totals[self.total_names.index(name)]

    def parameters_of(self, values: Float64) -> Float64:
        """Return the parameters of an object table.

        Parameters
        ----------
        values : ndarray of shape (n_objects, len(columns)) or (n_objects, len(parameters)), float64
            Table of a backend, or the parameters already.

        Returns
        -------
        ndarray of shape (n_objects, len(parameters)), float64

        Raises
        ------
        InputError
            If the table has another number of columns.
        """
        n_columns = values.shape[1] if values.ndim == 2 else 0
        if n_columns == len(self.columns):
            return self.of_table(values)
        if n_columns == len(self.parameters):
            return values
        raise InputError(
            f"object table has shape {values.shape}",
            f"it needs {len(self.columns)} columns (or the {len(self.parameters)} parameters)",
        )

    def centres_of(self, values: Float64) -> Float64:
        """Return the centres of mass, shape (n_objects, len(centre)), in the unit of length."""
        return self.parameters_of(values)[:, [self.index(name) for name in self.centre]]

    def totals_of(self, values: Float64) -> Float64:
        """Return the totals of an image from its object table, shape (len(totals),)."""
        return np.array(self.of_image(self.parameters_of(values)), np.float64)


TOTAL_MEANINGS = {
    "N": "number of objects",
    "A": "total area",
    "mean_area": "mean area",
    "V": "total volume",
    "SA": "total surface area",
    "mean_volume": "mean volume",
}
"""Every total in words."""


def mean_of(total: float, n_objects: float) -> float:
    """Return a total over the number of objects, NaN without objects."""
    return total / n_objects if n_objects else math.nan
