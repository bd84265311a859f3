"""A volume that is read plane by plane, and notes what is asked of it."""

import math

import numpy as np


class Reader:
    """Planes of an array, each time as a copy; no more than `most` at a time where that is given."""

    def __init__(self, volume, most=None):
        self.volume, self.most, self.asked = volume, most, []
        self.shape, self.dtype = volume.shape, volume.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def size(self):
        return math.prod(self.shape)

    def read_planes(self, start, stop):
        assert 0 <= start < stop <= self.shape[0]
        assert self.most is None or stop - start <= self.most
        self.asked.append((start, stop))
        return np.array(self.volume[start:stop])

    @property
    def planes_asked(self):
        return sorted(plane for start, stop in self.asked for plane in range(start, stop))
