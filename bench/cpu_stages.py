"""What is measured, stage by stage: gates first, then all contenders in turns."""

import pickle
import platform
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from cpu_engine import Ours, digest
from cpu_gates import GateError, gate_chain, gate_forecast, gate_noise
from cpu_laps import in_pieces
from cpu_parts import Parts
from cpu_peers import NumpyChain, numpy_replicate
from cpu_report import Bench
from cpu_scenes import CLEAR, HARD, KEY, PLANE, SENSOR, WEKA, Scene, make_scene
from cpu_threads import Threads
from cpu_turns import PATIENCE_SECONDS, Contender, Pieces, in_turns, own_worker

AVX2_TARGET = (("NUMBA_CPU_NAME", "x86-64-v3"),)
"""Code for any processor with AVX2 and FMA, and nothing beyond."""

KINDS = {"float": ("none", None), "uint16": ("uint16", None), "uint8": ("uint8", None), "fast uint8": ("uint8", "fast")}
"""Variants of a replicate: bins of the forest, and the feature set where it is not the scene's own."""

EXACT = {"fast": "plain"}
"""What the peers compute where ours is an approximation of it."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    volume: int
    plane: int
    large: int
    """Side of the volume for features alone and for one replicate that two threads share."""
    slab: int
    """Planes of it that slow peers get: their cost is linear in planes."""
    growth: tuple[int, ...]
    rounds: int
    share: int
    """Slow forests of planes get one part in so many of the pixels."""
    forest_pixels: int
    peer_pixels: int
    noise_side: int
    table_side: int
    trees: int | None = None
    """Overrides the recipes where given."""
    other_target: tuple[str, ...] = tuple(KINDS)
    """Variants of whole replicates that run in code for AVX2 alone, too."""
    other_environment: tuple[tuple[str, str], ...] = AVX2_TARGET


FULL = Sizes(
    volume=128, plane=2048, large=256, slab=64, growth=(64, 128, 256, 512), rounds=5, share=8,
    forest_pixels=1 << 20, peer_pixels=1 << 17, noise_side=1024, table_side=2048,
)  # fmt: skip
QUICK = Sizes(
    volume=80, plane=640, large=112, slab=48, growth=(64, 128), rounds=3, share=4,
    forest_pixels=1 << 17, peer_pixels=1 << 15, noise_side=512, table_side=512,
)  # fmt: skip
SMOKE = Sizes(
    volume=40, plane=128, large=40, slab=40, growth=(40,), rounds=1, share=2,
    forest_pixels=1 << 11, peer_pixels=1 << 10, noise_side=64, table_side=128, trees=6, other_target=("float",),
    other_environment=(),
)  # fmt: skip


class Stages:
    """All stages over one set of sizes.

    Parameters
    ----------
    speeds : bool
        Whether times are kept.
    say : callable
        Takes every line that is told meanwhile.
    sizes : Sizes
        How large everything is.
    folder : Path
        For files that other processes read.
    patience : float
        Seconds of further rounds until undisturbed times have settled, see `cpu_turns.in_turns`.
    """

    def __init__(self, speeds, say, sizes, folder, patience=PATIENCE_SECONDS):
        self.bench = Bench(speeds, say)
        self.sizes, self.folder, self.patience = sizes, folder, patience
        self.ours = Ours(threads=1)
        self.parts = Parts(self)
        self._scenes, self._grown, self._chains = {}, {}, {}

    def run(self, name):
        """Run a stage and return the `Bench` with what it found."""
        self.bench = Bench(self.bench.speeds, self.bench.say)
        with self.bench.stage(name):
            STAGES[name](self)
        return self.bench

    def scene(self, recipe):
        """Return a scene, made once."""
        if recipe.name not in self._scenes:
            side = self.sizes.volume if recipe.ndim == 3 else self.sizes.plane
            self._scenes[recipe.name] = make_scene(recipe, side, trees=self.sizes.trees)
        return self._scenes[recipe.name]

    def grown(self, recipe, variant):
        """Return a forest of a scene, grown once, with its networks in memory."""
        key, scene = (recipe.name, variant), self.scene(recipe)
        kind, features = KINDS[variant]
        first = key not in self._grown
        if first:
            self._grown[key] = scene.grow(self.ours.backend, kind, features)
        grown = self._grown[key]
        seconds = self.ours.compile(grown.flat, scene.rule)
        if first:
            bank = scene.bank(grown.features)
            size = grown.size(self.ours.backend.feature_stack(scene.raw, bank))
            limited = self.sizes.trees is None and size["trees"] == 100
            self.bench.compiled(f"{recipe.name}, {variant}", seconds, size, kind=kind, limited=limited)
        return grown

    def chain(self, recipe, variant="float"):
        """Return the chain of NumPy, SciPy and scikit-learn for a variant's features, its forest grown once."""
        name = KINDS[variant][1] or recipe.features
        features = EXACT.get(name, name)
        if (recipe.name, features) not in self._chains:
            share = 1 if recipe.ndim == 3 else self.sizes.share
            self._chains[recipe.name, features] = NumpyChain(self.scene(recipe), features, share)
        return self._chains[recipe.name, features]

    def times(self, *contenders, repeat=True):
        """Run contenders in turns."""
        speeds = self.bench.speeds
        return in_turns(contenders, self.sizes.rounds, repeat=repeat and speeds, settle=speeds, patience=self.patience)

    def kept(self, name, value):
        """Write a value for another process and return the path of its file."""
        path = self.folder / f"{name}.pickle"
        with path.open("wb") as file:
            pickle.dump(value, file)
        return path

    # --- whole replicates

    def hard(self):
        """Whole replicates of the hard volume, exact features."""
        self._whole(HARD, ("float", "uint16", "uint8"), "volume")

    def fast(self):
        """Whole replicates of the hard volume, features of the set `fast`."""
        self._whole(HARD, ("fast uint8",), "volume")

    def clear(self):
        """Whole replicates of the clear volume, in every variant."""
        self._whole(CLEAR, tuple(KINDS), "volume")

    def plane(self):
        """Whole replicates of a plane."""
        self._whole(PLANE, ("float", "uint8"), "plane")

    def weka(self):
        """Whole replicates of a plane with the features of Weka."""
        self._whole(WEKA, ("float", "uint8"), "plane")

    def _whole(self, recipe, variants, target):
        """Time whole replicates, and again in code for AVX2 alone, beside the chain of the same features."""
        scene, chains = self.scene(recipe), {variant: self.chain(recipe, variant) for variant in variants}
        chain, names = chains[variants[0]], {}
        with ExitStack() as stack:
            peers = {each.features: each for each in chains.values()}
            contenders = [Contender(f"numpy {name}", peer, scene.raw.size, peer.note) for name, peer in peers.items()]
            for variant in variants:
                with self.bench.stage(f"{recipe.name}, {variant}"):
                    grown = self.grown(recipe, variant)
                    self.bench.gates[f"{recipe.name}, {variant}"] = gate_chain(self.ours, scene, grown)
                    contenders.append(Contender(variant, in_pieces(self.ours.replicate(scene, grown)), scene.raw.size))
                    names[variant] = (f"{recipe.name}, {variant}", f"{target} {variant}", chains[variant].features)
            for variant in (each for each in variants if each in self._other_target):
                name = f"{recipe.name}, {variant}, code for AVX2 alone"
                worker = self._worker_of_other_target(stack, name, scene, self.grown(recipe, variant))
                contenders.append(Contender(name, _asked(worker), scene.raw.size))
                names[name] = (name, f"{target} {variant}", chains[variant].features)
            chain.stages = {name: [] for name in chain.STAGES}
            found = self.times(*contenders)
        for variant, (name, key, features) in names.items():
            where = f"{scene.raw.shape[0]}^{scene.raw.ndim}"
            peer = found[f"numpy {features}"]
            self.bench.compare(
                f"replicate {where}, {name}", found[variant], peer, "NumPy + SciPy + scikit-learn", target=key
            )
        if "float" in variants:
            self._stages_of(recipe, scene, chain)

    def _stages_of(self, recipe, scene, chain):
        """Keep the single steps of both sides: where the time goes."""
        if (recipe.name, "float") not in self._grown:
            return
        steps = self.ours.stages(scene, self.grown(recipe, "float"))
        ours = self.times(*(Contender(name, call, scene.raw.size, settles=False) for name, call in steps.items()))
        peer = {name: float(np.median(v[1:])) / scene.raw.size * 1e9 for name, v in chain.stages.items()}
        if not self.bench.speeds:
            ours, peer = dict.fromkeys(ours), dict.fromkeys(peer)
        self.bench.stages[recipe.name] = {
            "ours, single verbs, float": {name: times and times.median for name, times in ours.items()},
            "NumPy + SciPy + scikit-learn": peer,
        }

    @cached_property
    def _other_target(self):
        if platform.machine().lower() not in ("x86_64", "amd64"):
            self.bench.miss("code for AVX2 alone", f"the processor is {platform.machine()}")
            return ()
        return self.sizes.other_target

    def _worker_of_other_target(self, stack, name, scene, grown):
        path = self.kept("avx2", {"scene": scene, "grown": grown})
        worker = stack.enter_context(own_worker("ours", path, environment=dict(self.sizes.other_environment)))
        if worker.ready["digest"] != digest(self.ours.replicate(scene, grown)(0)):
            raise GateError(f"{name}, gives another table")
        told = worker.ready if self.bench.speeds else {"digest": worker.ready["digest"]}
        self.bench.gates[name] = told
        return worker

    # --- noise

    def noise(self):
        """Replicates alone, few and many electrons."""
        for electrons in (20, 1000):
            scene = self._flat(electrons)
            self.bench.gates[f"noise, {electrons} e-"] = gate_noise(self.ours, scene)
            draw = np.random.default_rng(1)
            backend, raw, law = self.ours.backend, scene.raw, scene.noise
            found = self.times(
                Contender("ours", _replicates(backend, raw, law), raw.size),
                Contender("numpy", lambda _, raw=raw, draw=draw: numpy_replicate(raw, draw), raw.size),
            )
            name = f"noise {raw.shape[0]}^2, {electrons} e- a pixel"
            self.bench.compare(name, found["ours"], found["numpy"], "NumPy's Poisson and normal", target="noise")

    def _flat(self, electrons):
        region = SENSOR.regions[0]
        counts = np.random.default_rng(1).poisson(electrons, (self.sizes.noise_side,) * 2)
        raw = np.rint(region.offset_dn + counts / region.gain_e_per_dn).astype(np.uint16)
        return Scene(PLANE, raw, np.zeros(0, np.int64), np.zeros(0, np.int64))

    # --- growth

    def growth(self):
        """One replicate of growing volumes on one thread: nanoseconds a voxel, and the peak of memory."""
        scene = self.scene(HARD)
        for variant in ("float", "uint8"):
            grown = self.grown(HARD, variant)
            case = {"scene": scene, "grown": grown, "threads": 1, "smallest": self.sizes.growth[0]}
            path = self.kept(f"memory_{variant}", case)
            for side in self.sizes.growth:  # each in a process of its own: memory that one leaves would hide the next's
                with own_worker("memory", path) as worker:
                    answer = worker.ask(side=side, rounds=min(self.sizes.rounds, 5 if side <= 128 else 2))
                self._grew(side, variant, answer)
        if self.bench.speeds:
            gate_forecast(self.bench.growth)

    def _grew(self, side, variant, answer):
        row = {"side": side, "forest": variant, "voxels": side**3, "rounds": len(answer["seconds"])}
        row["peak_bytes"], row["forecast_bytes"] = answer["peak_bytes"], answer["forecast_bytes"]
        if self.bench.speeds:
            row["median_ns"] = float(np.median(answer["seconds"])) / side**3 * 1e9
            row["min_ns"] = min(answer["seconds"]) / side**3 * 1e9
        self.bench.growth.append(row)
        self.bench.say(f"  {row}")


def _replicates(backend, raw, law):
    return lambda number: backend.replicate(raw, law, KEY, range(number, number + 1))


def _asked(worker):
    """Return a call whose pieces another process times."""
    return lambda number: Pieces(np.array(worker.ask(number=number)["pieces"]))


STAGES = {
    "noise": Stages.noise,
    "features": lambda stages: stages.parts.features(),
    "plane-features": lambda stages: stages.parts.plane_features(),
    "forest": lambda stages: stages.parts.forest(),
    "table": lambda stages: stages.parts.table(),
    "hard": Stages.hard,
    "fast": Stages.fast,
    "clear": Stages.clear,
    "plane": Stages.plane,
    "weka": Stages.weka,
    "threads": lambda stages: Threads(stages).run(),
    "growth": Stages.growth,
}
"""By name, in their order."""
