"""Codecs: chains of depth link, coder and way back, each a frozen dataclass that is also its JSON configuration."""

from compdistort.codecs.base import Codec, CodecOutcome, CodecResult
from compdistort.codecs.bit_depth import BitDepth
from compdistort.codecs.identity import Identity
from compdistort.codecs.jpeg import Jpeg
from compdistort.codecs.planewise import DecodedPlanes, changes, compress_planes
from compdistort.codecs.ratio_search import RatioSearch, search_ratio
from compdistort.codecs.registry import CODECS, build_codec, codec_ids

__all__ = [
    "CODECS",
    "BitDepth",
    "Codec",
    "CodecOutcome",
    "CodecResult",
    "DecodedPlanes",
    "Identity",
    "Jpeg",
    "RatioSearch",
    "build_codec",
    "changes",
    "codec_ids",
    "compress_planes",
    "search_ratio",
]
