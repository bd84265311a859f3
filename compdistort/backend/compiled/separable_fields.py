"""Names of the numbers that stand in one row for each scale of the separable filters; `separable_plan` fills them."""

FIELDS = (
    "presmooth", "r", "rn", "rp", "q", "wg", "wd", "wc", "wn", "wp", "gs", "log", "ggm", "dog",
    "t_src", "src_off", "src_stride", "src_row0", "src_row1", "src_vectors",
    "temp", "temp_step", "temp_stride", "t_temp",
    "pre_row0", "pre_row1", "pre_lead", "pre_pairs", "pre_count",
    "base", "base_step", "base_planes", "base_stride", "by0", "by1", "base_vectors",
    "t_bz", "g", "d", "c", "n", "ring_rows", "ring_stride", "t_g", "t_d", "t_c", "t_n",
    "y_vectors", "lead", "pairs", "count", "pad0", "pad1", "pad2", "pad3", "pad4", "spare",
    "last", "ready", "ready_row", "unit",
    "filters", "slope", "curve", "hessian", "tensor", "he1", "he2", "he3", "st1", "st2", "st3",
    "padded", "padded_step", "entries", "entries_step", "eigenvalues", "z0",
    "ri", "wig", "wid", "t_in", "in_off", "in_stride",
    "inner", "inner_step", "inner_stride", "inner_row0", "inner_row1", "t_inner",
    "products", "product_field", "product_step", "product_planes", "product_stride", "row0", "row1", "t_products",
    "means", "mean_field", "t_means",
    "product_vectors", "product_pairs", "product_count", "product_next", "product_last",
)  # fmt: skip
"""Names of the numbers of one scale."""

PRESMOOTH, R, RN, RP, Q, WG, WD, WC, WN, WP, GS, LOG, GGM, DOG = range(14)
T_SRC, SRC_OFF, SRC_STRIDE, SRC_ROW0, SRC_ROW1, SRC_VECTORS = range(14, 20)
TEMP, TEMP_STEP, TEMP_STRIDE, T_TEMP = range(20, 24)
PRE_ROW0, PRE_ROW1, PRE_LEAD, PRE_PAIRS, PRE_COUNT = range(24, 29)
BASE, BASE_STEP, BASE_PLANES, BASE_STRIDE, BY0, BY1, BASE_VECTORS = range(29, 36)
T_BZ, G, D, C, N, RING_ROWS, RING_STRIDE, T_G, T_D, T_C, T_N = range(36, 47)
Y_VECTORS, LEAD, PAIRS, COUNT, PAD0, PAD1, PAD2, PAD3, PAD4, SPARE = range(47, 57)
LAST, READY, READY_ROW, UNIT = range(57, 61)
FILTERS, SLOPE, CURVE, HESSIAN, TENSOR, HE1, HE2, HE3, ST1, ST2, ST3 = range(61, 72)
PADDED, PADDED_STEP, ENTRIES, ENTRIES_STEP, EIGENVALUES, Z0 = range(72, 78)
RI, WIG, WID, T_IN, IN_OFF, IN_STRIDE, INNER, INNER_STEP, INNER_STRIDE, INNER_ROW0, INNER_ROW1, T_INNER = range(78, 90)
PRODUCTS, PRODUCT_FIELD, PRODUCT_STEP, PRODUCT_PLANES, PRODUCT_STRIDE, ROW0, ROW1, T_PRODUCTS = range(90, 98)
MEANS, MEAN_FIELD, T_MEANS, PRODUCT_VECTORS, PRODUCT_PAIRS, PRODUCT_COUNT, PRODUCT_NEXT, PRODUCT_LAST = range(98, 106)
