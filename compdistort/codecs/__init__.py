"""Codecs: chains of depth link, coder and way back, each a frozen dataclass that is also its JSON configuration."""

from compdistort.codecs.aec import Aec
from compdistort.codecs.avif import Avif
from compdistort.codecs.base import Codec, CodecOutcome, CodecResult
from compdistort.codecs.bit_depth import BitDepth
from compdistort.codecs.blosc2 import Blosc2
from compdistort.codecs.fpack import Fpack
from compdistort.codecs.htj2k import Htj2k, Htj2kLossless
from compdistort.codecs.identity import Identity
from compdistort.codecs.jpeg import Jpeg, JpegSof3
from compdistort.codecs.jpeg2000 import Jpeg2000, Jpeg2000Lossless
from compdistort.codecs.jpegls import JpegLs
from compdistort.codecs.jpegxl import JpegXl, JpegXlLossless
from compdistort.codecs.jpegxr import JpegXr
from compdistort.codecs.lerc import Lerc
from compdistort.codecs.planewise import DecodedPlanes, changes, compress_planes
from compdistort.codecs.png import Png
from compdistort.codecs.ratio_search import RatioSearch, search_ratio
from compdistort.codecs.registry import CODECS, build_codec, codec_ids
from compdistort.codecs.rice import Rice
from compdistort.codecs.sperr import Sperr, SperrRate
from compdistort.codecs.sz3 import Sz3
from compdistort.codecs.vsq.cellnoise import CellNoise
from compdistort.codecs.vsq.codec import Vsq
from compdistort.codecs.webp import WebP
from compdistort.codecs.zfp import Zfp, ZfpRate
from compdistort.codecs.zstd import Zstd

__all__ = [
    "CODECS",
    "Aec",
    "Avif",
    "BitDepth",
    "Blosc2",
    "CellNoise",
    "Codec",
    "CodecOutcome",
    "CodecResult",
    "DecodedPlanes",
    "Fpack",
    "Htj2k",
    "Htj2kLossless",
    "Identity",
    "Jpeg",
    "Jpeg2000",
    "Jpeg2000Lossless",
    "JpegLs",
    "JpegSof3",
    "JpegXl",
    "JpegXlLossless",
    "JpegXr",
    "Lerc",
    "Png",
    "RatioSearch",
    "Rice",
    "Sperr",
    "SperrRate",
    "Sz3",
    "Vsq",
    "WebP",
    "Zfp",
    "ZfpRate",
    "Zstd",
    "build_codec",
    "changes",
    "codec_ids",
    "compress_planes",
    "search_ratio",
]
