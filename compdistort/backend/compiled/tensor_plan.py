"""Memory and tables of the structure tensor of one scale on one tile; `eigen_loops` runs on them."""

from compdistort.backend.base import SeparableScale
from compdistort.backend.compiled.emit import odd_lines, row_bytes
from compdistort.backend.compiled.tile_layout import TileLayout, clip, vectors


def tensor_fields(layout: TileLayout, scale: SeparableScale) -> dict[str, int]:
    """Lay out the averages of the gradient products; in 2D the products themselves lie there.

    Parameters
    ----------
    layout : TileLayout
        The tile.
    scale : SeparableScale
        Kernels, those of the structure tensor's gradient among them.

    Returns
    -------
    dict of str to int
        Numbers of `separable_fields`.
    """
    assert scale.inner_smooth is not None
    assert scale.inner_first is not None
    r, (x0, x1) = scale.smooth.size - 1, layout.box[2]
    row0, row1 = layout.within(1, r)
    stride = row_bytes(x1 - x0 + 2 * r)
    field = odd_lines((row1 - row0) * stride)
    means = layout.arena.take((6 if layout.volume else 3) * field)
    fields = {
        "ri": scale.inner_smooth.size - 1, "wig": layout.arena.put(scale.inner_smooth),
        "wid": layout.arena.put(scale.inner_first), "row0": row0, "row1": row1, "product_stride": stride,
        "product_vectors": vectors((x0 - r, x1 + r)), "means": means, "mean_field": field, "product_next": row0,
        "t_means": layout.addresses(1, r, lambda y: means + (y - row0) * stride),
    }  # fmt: skip
    return fields | layout.copies(layout.within(2, r), r, "product_pairs", "product_count", None)


def tensor_planes_fields(
    layout: TileLayout, scale: SeparableScale, row_width: int, row0: int, row1: int
) -> dict[str, int]:
    """Lay out, in 3D, the ring of planes of products, and the rows of one plane after the gradient's z passes.

    Parameters
    ----------
    layout : TileLayout
        The tile.
    scale : SeparableScale
        Kernels.
    row_width : int
        Pixels of the rows that the gradient's z passes read.
    row0, row1 : int
        Rows of products.

    Returns
    -------
    dict of str to int
        Numbers of `separable_fields`.
    """
    assert scale.inner_smooth is not None
    r, ri, take, (x0, x1) = scale.smooth.size - 1, scale.inner_smooth.size - 1, layout.arena.take, layout.box[2]
    first, last = clip((row0, row1), ri, layout.shape[1])
    stride, product_stride = row_bytes(row_width), row_bytes(x1 - x0 + 2 * r)
    step = odd_lines((last - first) * stride)
    inner = take(2 * step)
    z0, z1 = layout.within(0, r)
    planes, field = min(2 * r + 1, z1 - z0), odd_lines((row1 - row0) * product_stride)
    products = take(6 * planes * field)
    return {
        "inner": inner, "inner_step": step, "inner_stride": stride, "inner_row0": first, "inner_row1": last,
        "t_inner": layout.addresses(1, r + ri, lambda y: inner + (y - first) * stride),
        "products": products, "product_field": field, "product_step": 6 * field, "product_planes": planes,
        "t_products": layout.addresses(0, r, lambda z: products + (z % planes) * 6 * field),
        "product_next": z0, "product_last": z1 - 1,
    }  # fmt: skip
