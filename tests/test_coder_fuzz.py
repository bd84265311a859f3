"""Damaged codestreams: the decoders of others in a process with limits, and the named error that we make of theirs.

Whatever we write to disk is checked before it is decoded, so that a decoder never sees damage. This is the second line:
what a decoder does with damage all the same, and which of them cannot be trusted with it.
"""

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import coder_cases as cases
import coder_fuzz_worker as worker
import numpy as np
import pytest

from compdistort.codecs.coder import decoded, encoded
from compdistort.errors import CodecRangeError

WORKER = Path(__file__).with_name("coder_fuzz_worker.py")

CRASHES = {
    "htj2k": "OpenJPH computes for minutes at one damaged codestream in a hundred",
    "htj2k-lossless": "as htj2k",
    "jpegls": "CharLS computes without an end at one cut codestream in eight",
    "sperr": "SPERR throws through C, which ends the process",
    "sperr-rate": "as sperr",
    "sz3": "SZ3 throws through C at almost any damage, which ends the process",
    "zfp": "ZFP reads on beyond the end of its codestream",
    "zfp-rate": "as zfp",
}
"""Decoders that damage can crash or hang, and how. They are run on damage in a process of their own alone."""


def answers_of(script, questions):
    """Return how cases ended, in the order of the questions: pairs of coder and case."""
    lines = "".join(f"{index} {case}\n" for index, case in questions)
    done = subprocess.run([sys.executable, str(script)], input=lines, capture_output=True, text=True, check=False)
    answers = done.stdout.splitlines()
    assert (done.returncode, len(answers)) == (0, len(questions)), done.stderr
    return answers


def fuzz(n):
    """Give every coder `n` damaged codestreams; return how many ended how, by coder."""
    questions = [(index, case) for index in range(len(cases.CODERS)) for case in range(n)]
    found = defaultdict(Counter)
    for (index, _), words in zip(questions, answers_of(WORKER, questions), strict=True):
        found[cases.CODERS[index][0].name][words] += 1
    return found


def check(found):
    """No coder but the listed ones ends its process; every other answer is an array or the named error."""
    for name, answers in sorted(found.items()):
        print(name, dict(answers))
    wrong = {
        (name, words)
        for name, answers in found.items()
        for words in answers
        if words not in ("refused", "decoded", "same") and not (words.startswith("ended") and name in CRASHES)
    }
    assert not wrong
    assert set(found) == {coder.name for coder, _ in cases.CODERS}
    assert {name for name, answers in found.items() if not answers["refused"]} <= set(CRASHES)


def test_damage_is_refused_by_name_or_decoded():
    check(fuzz(12))


@pytest.mark.slow
def test_much_damage():
    check(fuzz(100))


def test_the_worker_tells_hangs_and_crashes(tmp_path):
    """The negative control: what the list above would have to name, and memory that is refused."""
    script = tmp_path / "bad_decoders.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(WORKER.parent)!r})\n"
        "import ctypes, dataclasses, time, numpy as np\n"
        "import coder_cases as cases, coder_fuzz_worker as worker\n"
        "def hang(stream, shape, dtype):\n    while True: pass\n"
        "def wait(stream, shape, dtype):\n    time.sleep(1e6)\n"
        "def crash(stream, shape, dtype):\n    ctypes.string_at(0)\n"
        "def eat(stream, shape, dtype):\n    return np.ones(1 << 34, np.uint8)\n"
        "def leave(stream, shape, dtype):\n    raise KeyboardInterrupt\n"
        "coder, level = cases.CODERS[0]\n"
        "bad = (hang, wait, crash, eat, leave)\n"
        "cases.CODERS[:] = [(dataclasses.replace(coder, decode=each), level) for each in bad]\n"
        "worker.CPU_SECONDS, worker.SECONDS = 0.1, 5\n"
        "worker.main()\n"
    )
    assert answers_of(script, [(index, 0) for index in range(5)]) == [
        "ended SIGPROF",
        "ended SIGALRM",
        "ended SIGSEGV",
        "refused",
        "escaped KeyboardInterrupt",
    ]


def test_damage_is_what_it_says():
    stream = bytes(range(200))
    kinds = Counter()
    for case in range(400):
        bad = worker.damaged(stream, case, 0)
        assert worker.damaged(stream, case, 0) == bad
        kinds["cut"] += len(bad) < len(stream)
        kinds["other"] += bad != stream
        if case % 4 == 0:
            assert stream.startswith(bad)
        if case % 4 == 1:
            assert len(bad) == len(stream)
    assert kinds["cut"] > 250
    assert kinds["other"] > 390


@pytest.mark.parametrize(
    ("coder", "level"),
    [(coder, level) for coder, level in cases.CODERS if coder.name not in CRASHES],
    ids=[name for name, (coder, _) in zip(cases.IDS, cases.CODERS, strict=True) if coder.name not in CRASHES],
)
def test_no_codestream_at_all(coder, level):
    array = next(array for array in cases.CASES.values() if cases.takes(coder, array))
    assert decoded(coder, encoded(coder, array, level), array.shape, array.dtype).shape == array.shape
    for stream in (b"", b"\0"):
        with pytest.raises(CodecRangeError, match=f"^coder '{coder.name}' "):
            decoded(coder, stream, array.shape, array.dtype)
    with pytest.raises(CodecRangeError, match=f"^coder '{coder.name}' "):
        decoded(coder, encoded(coder, array, level), (array.shape[0] + 1, *array.shape[1:]), array.dtype)
    with pytest.raises(CodecRangeError, match=f"^coder '{coder.name}' "):
        decoded(coder, encoded(coder, array, level), array.shape, np.dtype(np.float64))
