"""TIFF files made by hand, so that every field can lie."""

import struct

SHORT, LONG = 3, 4
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, COUNTS = (
    256,
    257,
    258,
    259,
    262,
    273,
    277,
    278,
    279,
)


def tags_of(width, length, offset, count, **changes):
    """Tags of an uncompressed 16-bit page in one strip; `changes` replaces them by name, None drops one."""
    tags = {
        WIDTH: width, LENGTH: length, BITS: 16, COMPRESSION: 1, PHOTOMETRIC: 1, OFFSETS: offset, SAMPLES: 1,
        ROWS: length, COUNTS: count,
    }  # fmt: skip
    tags |= {globals()[name]: value for name, value in changes.items()}
    return {code: value for code, value in tags.items() if value is not None}


def directory(tags, following=0):
    """Bytes of one directory; every value is a LONG in place."""
    entries = b"".join(struct.pack("<HHII", code, LONG, 1, value) for code, value in sorted(tags.items()))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def tiff(pixels, tags, following=0):
    """Bytes of a one-page file: header, pixels, directory. The pixels lie at byte 8."""
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + directory(tags, following)
