"""The slow, obvious twins in NumPy and SciPy: what the compiled loops and the CUDA kernels must equal."""
