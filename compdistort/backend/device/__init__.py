"""The CUDA engine's rooms: kernels and their arguments, memory and streams, and the launches of every family.

Nothing here imports CuPy: `compdistort.backend.device.cuda.Cuda` is handed the library, so that the tests can hand it a
stand-in whose kernels run on the CPU.
"""
