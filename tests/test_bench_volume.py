"""The benchmark of large volumes: it runs, proves its table, judges by its limits; the README tells its JSON."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / "bench"
sys.path.insert(0, str(BENCH))

import volume_scale  # noqa: E402
from readme_block import replace_block  # noqa: E402


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """What a run of tiny sizes writes and prints."""
    path = tmp_path_factory.mktemp("bench") / "found.json"
    words = [sys.executable, str(BENCH / "volume_scale.py"), "--smoke", "--slab", "5", "--output", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text()), done.stdout


@pytest.mark.slow
def test_every_size_is_measured_in_a_process_of_its_own(smoke):
    found, printed = smoke
    assert [row["shape"] for row in found["rows"]] == [[14, 32, 40], [30, 48, 64]]
    for row in found["rows"]:
        assert row["voxels"] == np.prod(row["shape"])
        assert row["objects"] > 0
        assert row["total_seconds"] == pytest.approx(sum(row["seconds"].values()), abs=1e-3)
        assert min(row["seconds"].values()) >= 0
        assert 0 < row["before_bytes"] <= row["peak_bytes"]
        assert row["forecast_bytes"] > row["before_bytes"]
        assert row["result_bytes"] > 0
    assert [row["proved"] for row in found["rows"]] == [True, None]
    assert found["made"]["trees"] == 100
    assert "14 x 32 x 40" in printed


def _found(**changes):
    rows = [
        {"proved": True, "peak_bytes": 2**30, "processor_seconds": 1.0, "voxels": 10**6},
        {"proved": None, "peak_bytes": 2**31, "processor_seconds": 10.0, "voxels": 10**7},
    ]
    rows[-1].update(changes)
    return {"mode": "full", "rows": rows}


@pytest.mark.parametrize(
    ("changes", "missed"),
    [({}, None), ({"proved": False}, 0), ({"peak_bytes": 6 * 2**30}, 1), ({"processor_seconds": 12.6}, 2)],
)
def test_each_limit_is_judged(changes, missed):
    states = list(volume_scale.verdicts(_found(**changes)).values())
    assert states == [number != missed for number in range(3)]


def test_planes_come_forwards_and_backwards(tmp_path):
    block = np.arange(3 * 6 * 8, dtype=np.uint16).reshape(3, 6, 8)
    (tmp_path / "block.raw").write_bytes(block.tobytes())
    volume = volume_scale.Repeated(tmp_path / "block.raw", block.shape, (8, 4, 2))
    there = block[[0, 1, 2, 2, 1, 0, 0, 1], 1:5, 3:5]
    np.testing.assert_array_equal(volume.read_planes(0, 8), there)
    np.testing.assert_array_equal(volume.read_planes(2, 7), there[2:7])
    np.testing.assert_array_equal(volume.cut(block), block[:, 1:5, 3:5])


@pytest.mark.slow
def test_the_readme_block_is_made_from_the_json(smoke):
    found, printed = smoke
    block = volume_scale.markdown(found)
    assert block in printed
    text = "a <!-- bench:volume --> old <!-- /bench:volume --> z"
    told = replace_block(text, "volume", block)
    assert told == f"a <!-- bench:volume -->\n{block}\n<!-- /bench:volume --> z"
    with pytest.raises(ValueError, match="lacks the marks"):
        replace_block("nothing", "volume", block)


def test_sizes_that_do_not_exist_are_a_usage_error():
    with pytest.raises(SystemExit) as error:
        volume_scale.main(["--smoke", "--sizes", "9"])
    assert error.value.code == 2
