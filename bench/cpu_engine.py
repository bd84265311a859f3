"""Our side of every comparison: the CPU engine on a given number of threads, with its forest compiled beforehand."""

import hashlib

import numpy as np
from cpu_scenes import KEY

from compdistort.backend import get_backend
from compdistort.backend.bitsliced.machine import Machine
from compdistort.backend.bitsliced.network_voter import decide
from compdistort.backend.bitsliced.voter import forest_note, voter_for
from compdistort.backend.compiled.blocks import FeatureBlocks
from compdistort.backend.compiled.fused import tile_size
from compdistort.backend.compiled.source import Pixels

WORK_UNIT = 512
"""Pixels that a network decides at once."""


CROP = 64
"""Side of the corner that tells how many runs of pixels an image's objects have."""


class Ours:
    """The CPU engine.

    Parameters
    ----------
    threads : int
        Most threads at work.
    """

    def __init__(self, threads=1):
        self.backend = get_backend("cpu", threads=threads)

    @staticmethod
    def compile(flat, rule):
        """Compile a forest, so that no descent is measured, and return the seconds it took; 0 where it was known."""
        voter = voter_for(flat, wait=True, foreground=rule.foreground)
        if not voter.compiled:
            raise RuntimeError(f"the forest cannot be compiled: {forest_note(flat)}")
        return voter.seconds

    @staticmethod
    def target():
        """Return what code is generated for."""
        machine = Machine.here()
        return {"cpu": machine.cpu, "register_bits": machine.group}

    def replicate(self, scene, grown, many=1):
        """Return a call that makes so many replicates, noise to object tables."""
        bank = scene.bank(grown.features)
        fixed = (scene.raw, scene.noise, KEY, bank, grown.flat, scene.rule)
        return lambda number: self.backend.replicate_tables(*fixed, range(number * many, (number + 1) * many))

    def stages(self, scene, grown):
        """Return calls of the single steps of a replicate by name; their sum is more than the fused loop takes."""
        backend, bank, flat, rule = self.backend, scene.bank(grown.features), grown.flat, scene.rule
        planes = backend.feature_stack(scene.raw, bank)
        voter, used = voter_rows(flat, rule, planes.reshape(len(planes), -1))
        mask = np.unpackbits(mask_bits(voter, used, rule).view(np.uint8), bitorder="little")[: scene.raw.size]
        mask = mask.reshape(scene.raw.shape).astype(np.bool_)
        return {
            "noise": lambda number: backend.replicate(scene.raw, scene.noise, KEY, range(number, number + 1)),
            "features": lambda _: backend.feature_stack(scene.raw, bank),
            "forest": lambda _: mask_bits(voter, used, rule),
            "components and table": lambda _: backend.measure(backend.label(mask, rule)),
        }

    def forecast(self, scene, grown):
        """Return the memory that the engine says a replicate takes, raw image included; its runs from a crop."""
        bank, crop = scene.bank(grown.features), tuple(slice(min(n, CROP)) for n in scene.raw.shape)
        part = np.ascontiguousarray(scene.raw[crop])
        labels = self.backend.image_objects(part, bank, grown.flat, scene.rule).labels
        runs = np.count_nonzero(np.diff(labels, axis=-1, prepend=0) * (labels > 0)) * scene.raw.size // part.size
        own = self.backend.working_bytes(scene.raw.shape, bank, grown.flat, scene.raw.itemsize, runs)
        return int(own + scene.raw.nbytes)


def all_blocks(image, bank):
    """Return a call that computes all features of an image, block by block."""
    blocks = FeatureBlocks(bank, image.shape, tile=tile_size(image.shape, 1))

    def run(_):
        prepared = blocks.prepare(Pixels(image))
        for tile in blocks.tiles:
            for _block in blocks.run(prepared, tile):
                pass

    return run


def digest(tables):
    """Return a hash of object tables."""
    found = hashlib.sha256()
    for table in tables:
        found.update(repr(table.shape).encode() + table.tobytes())
    return found.hexdigest()


def voter_rows(flat, rule, planes):
    """Return the compiled voter and the features that it reads, padded to whole units of work."""
    voter = voter_for(flat, wait=True, foreground=rule.foreground)
    padding = -planes.shape[1] % WORK_UNIT
    return voter, np.pad(planes[list(voter.used)], ((0, 0), (0, padding)))


def mask_bits(voter, used, rule):
    """Return the packed mask of float32 features."""
    bits = np.empty(used.shape[1] // 64, np.uint64)
    voter.mask_bits(used, rule, bits, np.zeros(len(used), np.int64))
    return bits


def codes_of(voter, used):
    """Return the codes of features, as the fused loop makes them."""
    codes = np.empty(used.shape, voter.encoder.dtype)
    voter.encoder.encode(used, codes, np.zeros(len(used), np.int64))
    return codes


def mask_bits_of_codes(voter, codes, rule):
    """Return the packed mask of given codes; for forests whose leaves are certain."""
    network = voter.networks[1 if voter.complement else rule.foreground]
    sure, possible = network.sum.needed(rule)
    assert sure == possible, "a forest whose leaves are not certain asks for the features"
    bits = np.empty(codes.shape[1] // 64, np.uint64)
    decide(network, codes, sure, possible, bits)
    return bits
