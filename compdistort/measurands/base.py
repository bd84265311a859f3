"""What is predicted of an image, in general: parameters of its objects, totals, and how both follow from a table."""

import math
from collections.abc import Callable, Sequence
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
        Whether a verdict may rest on it: a total that follows from two others does not, nor the size of the organ.
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
class Further:
    """What is predicted of an image beside the totals of its objects (see `compdistort.measurands.further`).

    Attributes
    ----------
    thresholds : tuple of float
        Further levels of the probability: the totals of the objects that each gives.
    organ_excludes : int or None
        Annotation value of the class that is not the organ; None: no organ is measured.
    """

    thresholds: tuple[float, ...] = ()
    organ_excludes: int | None = None

    @property
    def passes(self) -> int:
        """How often an image is segmented and measured, the first time included."""
        return 1 + len(self.thresholds) + (self.organ_excludes is not None)


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
    table_totals : tuple of Total
        What is predicted of the image, and follows from the table of its objects; the second is their size together.
    size : str
        The parameter that says how large an object is.
    centre : tuple of str
        The parameters that say where it is.
    of_table : callable
        From a table of `columns` to one of `parameters`.
    of_image : callable
        From a table of `parameters` to `table_totals`.
    further : Further
        What else is predicted of the image.
    further_totals : tuple of Total
        The totals that this gives.
    """

    ndim: int
    columns: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    table_totals: tuple[Total, ...]
    size: str
    centre: tuple[str, ...]
    of_table: Callable[[Float64], Float64]
    of_image: Callable[[Float64], tuple[float, ...]]
    further: Further = Further()
    further_totals: tuple[Total, ...] = ()

    @property
    def totals(self) -> tuple[Total, ...]:
        """All that is predicted of the image: first what follows from the table of its objects."""
        return self.table_totals + self.further_totals

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
        """Names of the totals that no verdict rests on."""
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

    def totals_of(self, values: Float64, further: Sequence[float] = ()) -> Float64:
        """Return the totals of an image.

        Parameters
        ----------
        values : ndarray of shape (n_objects, len(columns)) or (n_objects, len(parameters)), float64
            Its object table.
        further : sequence of float
            Its `further_totals`, which do not follow from that table.

        Returns
        -------
        ndarray of shape (len(totals),), float64

        Raises
        ------
        InputError
            If there are not as many further ones as `further_totals` names.
        """
        if len(further) != len(self.further_totals):
            raise InputError(
                f"{len(further)} further totals were given", f"{len(self.further_totals)} are predicted of an image"
            )
        return np.array([*self.of_image(self.parameters_of(values)), *further], np.float64)


ORGAN, LOAD = "organ", "load"
TOTAL_MEANINGS = {
    "N": "number of objects",
    "A": "total area",
    "mean_area": "mean area",
    "V": "total volume",
    "SA": "total surface area",
    "mean_volume": "mean volume",
    ORGAN: "size of the organ",
    LOAD: "load (objects' share of the organ)",
}
"""Every total in words."""

AT = "@"
"""Between the name of a total and the further threshold that it is of."""


def at_threshold(name: str, threshold: float) -> str:
    """Return the name of a total at a further threshold.

    Examples
    --------
    >>> at_threshold("N", 0.7)
    'N@0.7'
    """
    return f"{name}{AT}{threshold:g}"


def total_meaning(name: str) -> str | None:
    """Return a total in words, None where no total has that name.

    Examples
    --------
    >>> total_meaning("N"), total_meaning("N@0.7"), total_meaning("Area")
    ('number of objects', 'number of objects at threshold 0.7', None)
    """
    of_table, at, threshold = name.partition(AT)
    meaning = TOTAL_MEANINGS.get(of_table)
    return meaning if meaning is None or not at else f"{meaning} at threshold {threshold}"


def mean_of(total: float, n_objects: float) -> float:
    """Return a total over the number of objects, NaN without objects."""
    return total / n_objects if n_objects else math.nan
