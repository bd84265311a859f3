"""A compressor of npy files in plain Python, and every way in which such a program can go wrong."""

import array
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

HEADER = 128
"""Bytes of an npy header of a small array."""


def masked(data, bits):
    """Return a file with the low bits of its pixels set to 0."""
    keep = 0xFFFF ^ ((1 << int(bits)) - 1)
    return data[:HEADER] + array.array("H", [value & keep for value in array.array("H", data[HEADER:])]).tobytes()


def encode(source, target, bits):
    target.write_bytes(zlib.compress(masked(source.read_bytes(), bits)))


def decode(source, target):
    if len(list(Path.cwd().iterdir())) > 1:
        sys.exit("there is more here than the compressed file")
    target.write_bytes(zlib.decompress(source.read_bytes()))


def both(source, target, coded, bits):
    encode(source, Path(coded), bits)
    target.write_bytes(masked(source.read_bytes(), bits))


def serve(_source, target, file):
    target.write_bytes(Path(file).read_bytes())


def folder(source, target):
    target.mkdir()
    (target / "a").write_bytes(source.read_bytes())
    (target / "b").write_bytes(b"123")


def unfolder(source, target):
    target.write_bytes((source / "a").read_bytes())


def args(source, target, file, *words):
    Path(file).write_text(repr(words))
    target.write_bytes(source.read_bytes())


def nothing(_source, _target):
    pass


def empty(_source, target):
    target.write_bytes(b"")


def link(source, target):
    target.symlink_to(source)


def fail(_source, _target):
    print("nothing to\nsee", file=sys.stderr)
    sys.exit(3)


def die(_source, _target):
    os.kill(os.getpid(), 9)


def talk(_source, _target):
    for _ in range(3000):
        print("blah " * 100)
    sys.exit("the last words")


def touch_input(source, target):
    source.write_bytes(source.read_bytes()[:-1] + b"?")
    target.write_bytes(b"x")


def remove_input(source, target):
    source.rename(target)


def bomb(_source, target):
    with target.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def leave_child(source, target, log):
    """Start a process that lives on and writes."""
    code = f"import time\nwhile True:\n open({log!r}, 'a').write('x'); time.sleep(0.01)"
    subprocess.Popen([sys.executable, "-I", "-S", "-c", code])
    while not Path(log).exists():
        time.sleep(0.01)
    target.write_bytes(source.read_bytes())


def hang(source, target, log):
    leave_child(source, target, log)
    time.sleep(600)


if __name__ == "__main__":
    what, given, made, *more = sys.argv[1:]
    globals()[what](Path(given), Path(made), *more)
