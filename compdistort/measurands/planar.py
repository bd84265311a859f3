"""What is predicted of a plane: the 19 parameters of Pomarico et al. (2022), in pixels, and three totals."""

from compdistort.backend.base import MEASURE_COLUMNS, PARAMETERS, Float64
from compdistort.measurands.base import TOTAL_MEANINGS, Measurands, Parameter, Total, mean_of

PARAMETER_INFO: dict[str, Parameter] = {
    p.column: p
    for p in (
        Parameter("Area", "area", "area", 1.0, "area", 0.0, "area"),
        Parameter("XM", "centre of mass, x", "position", 0.0, "centroid-1", 0.5, "centre of mass, column"),
        Parameter("YM", "centre of mass, y", "position", 0.0, "centroid-0", 0.5, "centre of mass, row"),
        Parameter("Perim.", "perimeter", "length", 0.0, "perimeter", None, "perimeter"),
        Parameter(
            "Major", "major axis", "length", 0.0, "axis_major_length", None, "major axis of the fitted ellipse"
        ),
        Parameter(
            "Minor", "minor axis", "length", 0.0, "axis_minor_length", None, "minor axis of the fitted ellipse"
        ),
        Parameter(
            "Angle", "ellipse angle", "angle-axial", 0.0, "orientation", None,
            "angle of the major axis, axial (period 180°)",
        ),
        Parameter("Circ.", "circularity", "ratio", 0.0, None, None, "circularity, 4π area / perimeter²"),
        Parameter("Feret", "Feret diameter", "length", 0.0, "feret_diameter_max", None, "largest caliper diameter"),
        Parameter(
            "FeretX", "Feret diameter, left end x", "position", 1.0, None, None,
            "column of an end of the largest diameter",
        ),
        Parameter(
            "FeretY", "Feret diameter, left end y", "position", 1.0, None, None,
            "row of an end of the largest diameter",
        ),
        Parameter(
            "FeretAngle", "Feret angle", "angle-axial", 0.0, None, None,
            "angle of the largest diameter, axial (period 180°)",
        ),
        Parameter("MinFeret", "minimum Feret diameter", "length", 0.0, None, None, "smallest caliper diameter"),
        Parameter("AR", "aspect ratio", "ratio", 0.0, None, None, "aspect ratio, major / minor axis"),
        Parameter("Round", "roundness", "ratio", 0.0, None, None, "roundness, 4 area / (π major axis²)"),
        Parameter("Solidity", "solidity", "ratio", 0.0, "solidity", None, "area / area of the convex hull"),
        Parameter("FeretAR", "Feret aspect ratio", "ratio", 0.0, None, None, "largest / smallest caliper diameter"),
        Parameter("Compact", "compactness", "ratio", 0.0, None, None, "compactness, √(4 area / π) / major axis"),
        Parameter("Extent", "extent", "ratio", 0.0, "extent", 0.0, "area / area of the bounding box"),
    )
}  # fmt: skip
"""The 19 parameters of a plane by ImageJ's column name, in the order of `PARAMETERS`."""

_FIRST = MEASURE_COLUMNS.index(PARAMETERS[0])
PARAMETER_SLICE = slice(_FIRST, _FIRST + len(PARAMETERS))
"""Where the 19 parameters stand in a row of `MEASURE_COLUMNS`."""


def _planar_parameters(values: Float64) -> Float64:
    return values[:, PARAMETER_SLICE]


def _planar_totals(parameters: Float64) -> tuple[float, ...]:
    n_objects, area = float(parameters.shape[0]), float(parameters[:, PARAMETERS.index("Area")].sum())
    return n_objects, area, mean_of(area, n_objects)


PLANAR = Measurands(
    ndim=2,
    columns=MEASURE_COLUMNS,
    parameters=tuple(PARAMETER_INFO.values()),
    table_totals=(
        Total("N", TOTAL_MEANINGS["N"], "count", 1.0),
        Total("A", TOTAL_MEANINGS["A"], "area", 1.0),
        Total("mean_area", TOTAL_MEANINGS["mean_area"], "area", decides=False),
    ),
    size="Area",
    centre=("XM", "YM"),
    of_table=_planar_parameters,
    of_image=_planar_totals,
)
"""What is predicted of a plane: the 19 parameters; number of objects, total area and mean area, in pixels."""
