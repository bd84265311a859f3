"""vigra and fastfilters in a Python of their own, which needs NumPy and that library alone: no import of ours.

``python cpu_foreign.py LIBRARY WORK DATA.npz`` says ``{"ready": version}``, then does its work once for every line
that it reads. WORK is ``features`` or, for vigra, ``forest``. One thread.
"""

import json
import math
import sys
import time

import numpy as np


def features(filters, data):
    """Return a call that computes GS, LoG, GGM and DoG as ilastik asks for them."""
    image, sigmas = data["image"].astype(np.float32), [float(sigma) for sigma in data["sigmas"]]

    def run():
        planes = []
        for sigma in sigmas:
            before, width = (math.sqrt(sigma**2 - 1) if sigma > 1 else sigma), min(sigma, 1.0)
            base = filters.gaussianSmoothing(image, before, window_size=3.5)
            smooth = filters.gaussianSmoothing(base, width, window_size=2.0)
            planes.append(smooth)
            if sigma >= 0.7:
                planes.append(filters.laplacianOfGaussian(base, width, window_size=2.0))
                planes.append(filters.gaussianGradientMagnitude(base, width, window_size=2.0))
                planes.append(smooth - filters.gaussianSmoothing(base, 0.66 * width, window_size=2.0))
        return planes

    return run


def forest(vigra, data):
    """Return a call of vigra's forest, of as many trees, grown on the same rows."""
    grown = vigra.learning.RandomForest(treeCount=int(data["trees"]))
    grown.learnRF(data["rows"].astype(np.float32), data["labels"].astype(np.uint32).reshape(-1, 1), 0)
    pixels = data["pixels"].astype(np.float32)
    return lambda: grown.predictProbabilities(pixels)


def main(library, work, path):
    data = np.load(path)
    if library == "vigra":
        import vigra

        version = vigra.version
        run = forest(vigra, data) if work == "forest" else features(vigra.filters, data)
    else:
        import fastfilters

        version = getattr(fastfilters, "__version__", "")
        run = features(fastfilters, data)
    print(json.dumps({"ready": str(version)}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
