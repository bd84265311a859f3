"""Ratio, speed both ways, added noise and bias of every codec: ``python bench/codecs.py [--quick] [--images NAME]``.

Every codec goes over the same simulated scenes of known truth and over real images, in one run and one thread. Lossy
ones are driven to the wanted ratio (10:1) by the search that studies use; what is not reached is said. Before a codec
is timed, what its two calls give is compared with what a study gets from it: a wrong pixel has no speed. ``--readme``
measures nothing and writes the tables of the newest result into README.md.

Exit codes: 0 all results right, 1 not, 2 usage.
"""

import os

# One thread each: set before NumPy is imported.
for _library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from datetime import UTC, datetime  # noqa: E402
from pathlib import Path  # noqa: E402

BENCH = Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent)]

from codec_report import markdown, row_words  # noqa: E402
from readme_block import RESULTS, write_readme  # noqa: E402

RATIO = 10.0

LOSSLESS = (
    "identity", "png", "zstd", "blosc2", "rice", "aec", "jpeg-sof3", "jpeg2000-lossless", "htj2k-lossless",
    "jpegxl-lossless",
)  # fmt: skip
SEARCHED = (
    {"id": "jpeg"}, {"id": "jpeg", "bits": 12}, {"id": "jpeg2000"}, {"id": "htj2k"}, {"id": "jpegxl"}, {"id": "jpegxr"},
    {"id": "jpegls"}, {"id": "avif"}, {"id": "webp"}, {"id": "zfp"}, {"id": "zfp-rate"}, {"id": "sz3"}, {"id": "sperr"},
    {"id": "sperr-rate"}, {"id": "lerc"}, {"id": "fpack"},
)  # fmt: skip
FIXED = (
    {"id": "bit-depth"}, {"id": "bit-depth", "inverse": "shift"}, {"id": "jpegls", "near": 0},
    {"id": "vsq", "step": 1.0}, {"id": "vsq", "step": 2.0}, {"id": "vsq", "step": 2.0, "backend": "jpegls"},
    {"id": "vsq", "step": 2.0, "backend": "archive"}, {"id": "cellnoise", "step": 1.41},
)  # fmt: skip


def _parser():
    parser = argparse.ArgumentParser(description="Measure every codec on simulated and real images.")
    parser.add_argument("--quick", action="store_true", help="crops, one round: to see that all is well")
    parser.add_argument("--smoke", action="store_true", help="everything, tiny, without any time")
    parser.add_argument("--images", nargs="+", metavar="NAME", help="these images alone")
    parser.add_argument("--codecs", nargs="+", metavar="ID", help="these codecs alone")
    parser.add_argument("--output", type=Path, help="JSON file; default bench/results/codecs_<machine>.json")
    parser.add_argument("--readme", action="store_true", help="write README.md's tables from the newest result")
    return parser


def main(arguments=None):
    options = _parser().parse_args(arguments)
    if options.readme:
        return write_readme("codecs", markdown)
    from cpu_machine import facts

    began, machine = time.monotonic(), facts()
    rows, failures, coders = [], [], {}
    rounds = 0 if options.smoke else 1 if options.quick else 5
    for image in _images(options):
        print(f"{image.name}: {image.raw.shape}", file=sys.stderr, flush=True)
        coders = coders or _index_coders(image, rounds)
        for config in _codecs(options):
            row = _row(image, config, rounds)
            rows.append(row)
            print(f"  {row_words(row)}", file=sys.stderr, flush=True)
            failures += [f"{image.name}, {row['codec']}: {row['wrong']}"] if row.get("wrong") else []
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine, "ratio": RATIO, "rows": rows,
        "index_coders": coders,
        "mode": "smoke" if options.smoke else "quick" if options.quick else "full",
        "seconds": round(time.monotonic() - began, 1), "failures": failures,
    }  # fmt: skip
    print(markdown(found))
    _write(found, options)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def _images(options):
    from codec_images import real, simulated

    def say(words):
        print(words, file=sys.stderr, flush=True)

    small = options.smoke or options.quick
    made = simulated(64, (3, 64, 64)) if options.smoke else simulated(256, (8, 128, 128)) if small else simulated()
    for image in (*made, *real(say, crop=64 if options.smoke else 256 if small else None)):
        if not options.images or image.name in options.images:
            yield image


def _codecs(options):
    every = (
        *({"id": name} for name in LOSSLESS), *FIXED, *({**each, "ratio": RATIO} for each in SEARCHED),
    )  # fmt: skip
    return [each for each in every if not options.codecs or each["id"] in options.codecs]


def _label(config):
    settings = [f"{v}" if isinstance(v, str) else f"{k} {v:g}" for k, v in config.items() if k not in ("id", "ratio")]
    return " ".join([config["id"], *settings])


def _row(image, config, rounds):
    """Return what one codec makes of an image; what it refuses is a row too."""
    from compdistort.codecs import build_codec
    from compdistort.errors import CompdistortError

    row = {"image": image.name, "codec": _label(config), "config": config}
    if config["id"] in ("vsq", "cellnoise") and image.sensor.estimated:
        config = {**config, "allow_estimated": True}
    try:
        began = time.perf_counter()
        codec = build_codec(config).with_sensor(image.sensor).prepare(image.raw)
        row["prepare_seconds"] = round(time.perf_counter() - began, 3)
        result = codec.apply(image.raw)
    except CompdistortError as error:
        return row | {"refused": str(error)}
    row |= {"ratio": result.ratio, "bytes": result.encoded_bytes, "reached": result.record.get("reached", True)}
    row |= {"encodes": result.record.get("encodes"), "record": result.record, "pixels": _pixels(image, result.decoded)}
    return row | _speed(codec, image.raw, result.decoded, rounds)


def _pixels(image, decoded):
    from compdistort.score.pixels import pixel_statistics

    found = pixel_statistics(image.raw, decoded, image.variance, mean=image.mean)
    told = {name: getattr(found, name) for name in ("rms", "bias", "added_db", "grain", "lag_columns", "largest")}
    told["worst_class"] = found.worst.bias
    if found.truth is not None:
        told |= {"noise": found.truth.noise, "correlation": found.truth.lag_columns}
    return told


def _speed(codec, raw, decoded, rounds):
    """Return MB/s of the raw image both ways, medians; and what was wrong with the pixels of the timed calls."""
    import numpy as np

    calls = _calls(codec, raw)
    if calls is None:
        return {}
    encode, decode = calls
    streams = encode()
    if not np.array_equal(decode(streams), decoded):
        return {"wrong": "the timed calls give other pixels than a study gets"}
    calls = {"encode_mb_s": encode, "decode_mb_s": lambda: decode(streams)}
    return {name: raw.nbytes / 1e6 / _seconds(call, rounds) for name, call in calls.items() if rounds}


def _seconds(call, rounds):
    """Return the median time of a call."""
    import numpy as np

    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def _index_coders(image, rounds):
    """Return Mpx/s of the coders of VSQ's indices alone, on the first plane at a step of 2; no time in a smoke run."""
    from functools import partial

    import numpy as np

    from compdistort.codecs import build_codec
    from compdistort.codecs.vsq.index_coder import decode_indices, encode_indices
    from compdistort.io.planes import grey_levels

    plane = np.ascontiguousarray(image.raw.reshape(-1, *image.raw.shape[-2:])[0])
    config = {"id": "vsq", "step": 2.0, "allow_estimated": True}
    codec = build_codec(config).with_sensor(image.sensor).prepare(plane)
    cells, found = codec.quantiser(partial(grey_levels, plane)), {}
    indices, dither = cells.quantise(plane, 1, 0), cells.dither_of(plane.shape, 1, 0)
    for backend in ("jxl", "jpegls", "dither-aware"):
        stream = encode_indices(indices, cells.saturated, dither, backend, codec.effort)
        back = partial(decode_indices, stream, plane.shape, cells.saturated, dither, backend)
        if not np.array_equal(back(), indices):
            raise RuntimeError(f"{backend} did not give the indices back")
        calls = {"in": partial(encode_indices, indices, cells.saturated, dither, backend, codec.effort), "out": back}
        found[backend] = {way: plane.size / 1e6 / _seconds(call, rounds) for way, call in calls.items() if rounds}
    return found


def _calls(codec, raw):
    """Return two functions, raw image to streams and streams to decoded image; None for a codec that has no coder."""
    from functools import partial

    import numpy as np

    from compdistort.codecs.array_codec import ArrayCodec
    from compdistort.codecs.bit_depth import BitDepth
    from compdistort.codecs.vsq.codec import Vsq
    from compdistort.io.planes import grey_levels

    levels = partial(grey_levels, raw)
    if type(codec) is Vsq:  # not cellnoise, of which no file is written
        return _vsq_calls(codec, raw, levels)
    if not isinstance(codec, ArrayCodec | BitDepth):
        return None
    volume = raw.reshape(-1, *raw.shape[-2:])
    arrays = [raw] if getattr(codec, "together", False) else list(volume)
    restore = codec.link.scale(levels).restore
    if isinstance(codec, BitDepth):
        return (
            lambda: [codec.link.scale(levels).reduce(each) for each in arrays],
            lambda streams: np.stack([restore(each) for each in streams]).reshape(raw.shape),
        )
    coder, level = codec.coder, codec.level()
    like = codec.link.scale(levels).reduce(arrays[0])

    def encode():
        scale = codec.link.scale(levels)
        return [coder.encode(np.ascontiguousarray(scale.reduce(each)), level) for each in arrays]

    def decode(streams):
        return np.stack([restore(coder.decode(each, like.shape, like.dtype)) for each in streams]).reshape(raw.shape)

    return encode, decode


def _vsq_calls(codec, raw, levels):
    import numpy as np

    from compdistort.codecs.vsq.container import decode_array, encode_array

    dtype = np.dtype(codec.output)
    return (
        lambda: encode_array(raw, codec.quantiser(levels), codec.chunks),
        lambda data: decode_array(data, dtype=dtype)[0],
    )


def _write(found, options):
    from cpu_machine import file_name

    path = options.output
    if path is None and found["mode"] == "full" and not (options.images or options.codecs):
        path = RESULTS / f"codecs_{file_name(found['machine']).removeprefix('cpu_')}"
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)
    if path.parent == RESULTS:
        write_readme("codecs", markdown)


if __name__ == "__main__":
    sys.exit(main())
