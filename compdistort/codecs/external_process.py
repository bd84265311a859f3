"""Another program, run once: as a list of words, without a shell, in a folder of its own, for a limited time and size.

The program and whatever it starts form a process group, which is ended as a whole. What it says is read while it runs
and only the end of it is kept, so that nothing it prints can fill memory or stop it.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from compdistort.errors import ConfigError, InputError, ResourceError

_KEPT_BYTES = 4096
_SHOWN = 300
_FIRST_PAUSE, _LAST_PAUSE = 0.001, 0.05
_READER_SECONDS = 1.0
"""How long the reader may need for what is left in the pipe; a process that has left the group may keep it open."""


def run_program(words: Sequence[str], folder: Path, *, timeout: float, max_bytes: int) -> str:
    """Run a program to its end.

    Parameters
    ----------
    words : sequence of str
        Program and arguments.
    folder : Path
        Where it works; nothing else is in use there.
    timeout : float
        Most seconds.
    max_bytes : int
        Most bytes in the folder.

    Returns
    -------
    str
        The end of what it said, for messages about its results; ``""`` or ``" (it said: ...)"``.

    Raises
    ------
    ConfigError
        If it cannot be started.
    InputError
        If it ends with an error, or writes too much.
    ResourceError
        If it takes too long.
    """
    name = f"codec 'external': {Path(words[0]).name}"
    if os.name != "posix":
        raise ConfigError(f"{name} cannot be run on {os.name}", "programs are run on Linux and macOS alone")
    try:
        process = subprocess.Popen(  # noqa: S603 - words that the user has read and allowed
            [*words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{name} cannot be started ({error.strerror})", "correct the command") from error
    said = bytearray()
    assert process.stdout is not None
    reader = threading.Thread(target=_keep_end, args=(process.stdout, said), daemon=True)
    reader.start()
    try:
        trouble = _watch(process, folder, timeout, max_bytes)
    finally:
        _end_group(process)
        reader.join(_READER_SECONDS)
    words_said = " ".join(bytes(said).decode("utf-8", "replace").split())[-_SHOWN:]
    tail = f" (it said: {words_said})" if words_said else ""
    if trouble == "slow":
        raise ResourceError(f"{name} took more than timeout = {timeout:g} s, and was ended{tail}", "raise timeout")
    if trouble == "large":
        raise InputError(f"{name} wrote more than {max_bytes} bytes, and was ended{tail}", "mend the command")
    if process.returncode:
        raise InputError(
            f"{name} ended with {_code_words(process.returncode)}{tail}",
            "mend the command; it runs in a folder of its own, so files are to be named by their full paths",
        )
    return tail


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder in which another program makes and removes files meanwhile."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).lstat().st_size
    return total


def _watch(process: subprocess.Popen[bytes], folder: Path, timeout: float, max_bytes: int) -> str:
    """Wait for the end; return what is wrong, nothing if it ended by itself within its limits."""
    until, pause = time.monotonic() + timeout, _FIRST_PAUSE
    while process.poll() is None:
        if time.monotonic() > until:
            return "slow"
        if folder_bytes(folder) > max_bytes:
            return "large"
        time.sleep(pause)
        pause = min(2 * pause, _LAST_PAUSE)
    return "large" if folder_bytes(folder) > max_bytes else ""


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End whatever is left of the program and of what it started."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _keep_end(stream: IO[bytes], said: bytearray) -> None:
    """Read a stream to its end, and keep the last bytes of it."""
    with stream:
        while block := os.read(stream.fileno(), 65536):
            said += block
            del said[:-_KEPT_BYTES]


def _code_words(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"
