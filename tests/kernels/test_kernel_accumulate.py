"""Exact sums: the kernel against the plain twin, on every level."""

import numpy as np
import pytest
from cudahost.bodies import check_accumulate


def test_sums_are_the_plain_twins(engine):
    check_accumulate(engine)


def test_shapes_that_do_not_fit_are_refused(engine):
    images = engine.to_device(np.zeros((2, 3, 4), np.uint16))
    sums = [engine.to_device(np.zeros((3, 5), np.uint64)) for _ in range(2)]
    with pytest.raises(ValueError, match="do not fit"):
        engine.accumulate(images, *sums)
