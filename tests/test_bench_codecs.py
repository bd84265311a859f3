"""The benchmark of codecs: it runs, proves the pixels of what it times, and the README tells its JSON."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compdistort.codecs import BitDepth, Jpeg

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))

import codec_report  # noqa: E402


@pytest.fixture(scope="module")
def program():
    """The program as a module; its name is one of the standard library's."""
    spec = importlib.util.spec_from_file_location("bench_of_codecs", BENCH / "codecs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """What a run on tiny images writes and prints."""
    path = tmp_path_factory.mktemp("bench") / "found.json"
    words = [sys.executable, str(BENCH / "codecs.py"), "--smoke", "--output", str(path), "--images", "fluor", "stack"]
    words += ["--codecs", "identity", "bit-depth", "jpeg", "jpegls", "vsq", "cellnoise", "zfp", "png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout


def test_every_codec_is_measured_on_every_image(smoke):
    found, _ = smoke
    assert found["failures"] == []
    assert {row["image"] for row in found["rows"]} == {"fluor", "stack"}
    assert len(found["rows"]) == 2 * 14
    assert not [row for row in found["rows"] if "refused" in row or "encode_mb_s" in row]
    rows = {row["codec"]: row for row in found["rows"] if row["image"] == "fluor"}
    assert rows["identity"]["pixels"]["rms"] == rows["png"]["pixels"]["rms"] == 0
    assert rows["bit-depth shift"]["pixels"]["bias"] < -1
    assert rows["vsq step 2"]["pixels"] == rows["vsq step 2 jpegls"]["pixels"]
    assert rows["vsq step 2"]["ratio"] < rows["vsq step 2 archive"]["ratio"]
    assert rows["identity"]["pixels"]["noise"] == pytest.approx(1, abs=5 / np.sqrt(2 * 64**2))  # n = 4096, 5 sigma


def test_the_tables_are_made_from_the_json(smoke):
    found, printed = smoke
    tables = codec_report.markdown(found)
    assert tables in printed
    assert tables.count("| vsq step 2 archive |") == 2
    missed = {**found["rows"][0], "reached": False}
    refused = {"image": "fluor", "codec": "sz3", "config": {"id": "sz3"}, "refused": "not today"}
    told = codec_report.markdown({**found, "rows": [missed, refused]})
    assert "| identity | 1.00* |" in told
    assert found["index_coders"] == {"jxl": {}, "jpegls": {}, "dither-aware": {}}
    timed = codec_report.markdown({**found, "index_coders": {"dither-aware": {"in": 5.54, "out": 9}}})
    assert "alone, Mpx/s: `dither-aware` 5.5 in, 9.0 out." in timed
    assert "Refused on fluor: sz3: not today" in told
    assert codec_report.row_words(refused) == "sz3: refused: not today"


def test_committed_results_say_what_was_not_reached():
    found = [json.loads(path.read_text(encoding="utf-8")) for path in (BENCH / "results").glob("codecs_*.json")]
    rows = [row for each in found for row in each["rows"] if "ratio" in row["config"] and "ratio" in row]
    assert [row for row in rows if row["reached"] and abs(row["ratio"] / row["config"]["ratio"] - 1) > 0.05] == []


def test_wrong_pixels_have_no_speed(program):
    raw = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for codec in (BitDepth(), Jpeg(quality=80)):
        decoded = codec.apply(raw).decoded
        assert set(program._speed(codec, raw, decoded, 1)) == {"encode_mb_s", "decode_mb_s"}
        assert set(program._speed(codec, raw, decoded + 1, 1)) == {"wrong"}


def test_the_list_names_every_codec_that_works_here(program):
    """A codec that is added to the register is measured too; programs and plug-ins need what is not here."""
    from compdistort.codecs.registry import CODECS

    measured = {each["id"] for each in program._codecs(program._parser().parse_args([]))}
    assert measured == set(CODECS)
