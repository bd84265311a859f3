"""The user's benchmark of feature pipelines on one image: how fast, how large, how accurate, and which verdicts."""

from compdistort.pipeline.bench.options import BenchOptions
from compdistort.pipeline.bench.run import run_bench
from compdistort.pipeline.bench.words import describe_bench

__all__ = ["BenchOptions", "describe_bench", "run_bench"]
