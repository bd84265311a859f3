"""Objects in numbers: the table of one image, its totals, its CSV file, and what each parameter is.

Definitions are those of ImageJ's particle analyser and of BioVoxxel's Extended Particle Analyzer, in pixels: x right,
y down, the top-left corner of the image is (0, 0), a pixel's centre lies at (column + 0.5, row + 0.5). Area, centre
and ellipse use the object's pixels; perimeter, Feret diameters and hull use its outer outline, holes never count.

Only 13 of the 19 parameters are independent: minor axis, AR, Round and Compact follow from area and major axis, Circ.
from area and perimeter, FeretAR from the two Feret diameters.
"""

from dataclasses import dataclass
from typing import Any

from compdistort.backend.base import MEASURE_COLUMNS, Backend, Float64, Int32
from compdistort.measurands import PARAMETER_SLICE


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTable:
    """The objects of one image, one row each, in the order of their ids.

    Attributes
    ----------
    values : ndarray of shape (n_objects, len(MEASURE_COLUMNS)), float64
        What was measured; row i belongs to id i + 1.

    Examples
    --------
    >>> import numpy as np
    >>> table = ObjectTable(np.arange(2.0 * len(MEASURE_COLUMNS)).reshape(2, -1))
    >>> len(table), table["Area"], table.parameters.shape
    (2, array([ 2., 29.]), (2, 19))
    """

    values: Float64

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, `MEASURE_COLUMNS`."""
        return MEASURE_COLUMNS

    @property
    def parameters(self) -> Float64:
        """The 19 parameters: shape (n_objects, 19), order of `PARAMETERS`."""
        return self.values[:, PARAMETER_SLICE]

    @property
    def centres(self) -> Float64:
        """Centres of mass (x, y): shape (n_objects, 2), pixels."""
        return self.values[:, MEASURE_COLUMNS.index("XM") : MEASURE_COLUMNS.index("YM") + 1]

    def __getitem__(self, column: str) -> Float64:
        """Return one column: shape (n_objects,)."""
        return self.values[:, MEASURE_COLUMNS.index(column)]

    def __len__(self) -> int:
        return int(self.values.shape[0])


def measure_objects(labels: Int32, backend: Backend[Any]) -> ObjectTable:
    """Measure the objects of a label image.

    Parameters
    ----------
    labels : ndarray of shape (rows, columns), int32
        Ids 1..n in raster order of their first pixel, each one 8-connected set (`Backend.label` gives that).
    backend : Backend
        Engine.

    Returns
    -------
    ObjectTable

    Raises
    ------
    TypeError, ValueError
        For another dtype or layout, another number of axes, or ids in another order.
    """
    if labels.ndim != 2:
        raise ValueError(f"labels must have 2 axes (rows, columns), not {labels.ndim}")
    return ObjectTable(backend.measure(backend.to_device(labels)))


def object_table_csv(table: ObjectTable) -> str:
    """Return the table as CSV text: ImageJ's column names after a column ``row`` that counts from 1.

    Whole numbers are written without a point, all others as the shortest decimal that reads back to the same float64.

    Parameters
    ----------
    table : ObjectTable
        The objects.

    Returns
    -------
    str
        Header line alone for an empty table.

    Examples
    --------
    >>> import numpy as np
    >>> object_table_csv(ObjectTable(np.zeros((0, len(MEASURE_COLUMNS)))))[:27]
    'row,XStart,YStart,Area,XM,Y'
    """
    lines = [",".join(("row", *MEASURE_COLUMNS))]
    for number, row in enumerate(table.values.tolist(), start=1):
        lines.append(",".join((str(number), *map(_shortest, row))))
    return "\n".join(lines) + "\n"


def _shortest(value: float) -> str:
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "NaN" if value != value else repr(value)  # noqa: PLR0124 - the cheapest test for NaN
