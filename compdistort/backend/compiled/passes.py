"""The kernel passes that the loops of the separable filters share, so that each is compiled once (see `taps`).

Names say the kernels, and the order of the outputs: `smooth` even, `slope` odd, `curve` even too.
"""

from compdistort.backend.compiled.taps import make_pass

smooth = make_pass("e")
slope = make_pass("o")
smooth_slope = make_pass("eo")
smooth_curve = make_pass("ee")
smooth_slope_curve = make_pass("eoe")
smooth_add = make_pass("e", plus=True)
smooth_line = make_pass("e", line=True)
slope_line = make_pass("o", line=True)
