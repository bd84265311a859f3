"""On what the CPU engine is measured."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VECTORS = ("avx512f", "avx512bw", "avx512vl", "avx512vbmi", "avx2", "fma", "bmi2", "gfni", "asimd", "sve")
PACKAGES = (
    "numpy", "scipy", "scikit-learn", "scikit-image", "numba", "llvmlite", "opencv-python-headless", "lleaves",
    "treelite", "tl2cgen", "onnxruntime", "skl2onnx",
)  # fmt: skip


def facts():
    """Return processor, vector units, cores, versions, commit and load."""
    import compdistort

    flags = _flags()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vectors": next((name for name in ("AVX-512", "AVX2", "NEON") if _is(name, flags)), "baseline"),
        "flags": [flag for flag in VECTORS if flag in flags],
        "caches": _caches(),
        "system": platform.platform(),
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "sources": _sources(),
        "versions": {"python": platform.python_version(), "compdistort": compdistort.__version__, **_versions()},
    }


def file_name(machine):
    """Return the name of the machine's result file."""
    words = f"{machine['processor']} {machine['vectors']} {machine['cores']}c".lower()
    return "cpu_" + re.sub(r"[^a-z0-9]+", "-", words).strip("-") + ".json"


def _is(name, flags):
    return {"AVX-512": {"avx512f", "avx512bw"}, "AVX2": {"avx2", "fma"}, "NEON": {"asimd"}}[name] <= flags


def _cpuinfo():
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _flags():
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _cpuinfo(), re.MULTILINE)
    return set(found[1].split()) if found else set()


def _processor():
    info = _cpuinfo()
    name = re.search(r"^model name\s*:(.*)$", info, re.MULTILINE)
    family, model = (re.search(rf"^{key}\s*:(.*)$", info, re.MULTILINE) for key in ("cpu family", "model"))
    if not name:
        return platform.processor() or platform.machine()
    # A virtual machine may hide the name, never the family.
    return f"{name[1].strip()}" + (f" family {family[1].strip()} model {model[1].strip()}" if family and model else "")


def _caches():
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def _versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _sources():
    """Return a hash of all modules of the package and of this benchmark: what the code was, whatever its commit."""
    root, found = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted([*(root / "compdistort").rglob("*.py"), *(root / "bench").glob("cpu*.py")]):
        found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def _commit():
    """Return the commit of the checkout, marked where files differ from it; "" where that is not known."""
    git = shutil.which("git")
    root = Path(__file__).resolve().parents[1]
    if git is None:
        return ""
    asked = [
        subprocess.run([git, "-C", str(root), *words], capture_output=True, text=True, check=False)
        for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    if asked[0].returncode:
        return ""
    return asked[0].stdout.strip() + ("-changed" if asked[1].stdout.strip() else "")
