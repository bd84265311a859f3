"""Single stations beside their peers: features, forest, object table."""

import os
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from cpu_engine import all_blocks, codes_of, mask_bits, mask_bits_of_codes, voter_rows
from cpu_forest_peers import forest_peers
from cpu_gates import GateError, gate_features, gate_forest, gate_table
from cpu_laps import in_pieces
from cpu_peers import opencv_stack, scipy_stack, skimage_features
from cpu_scenes import HARD, KEY, PLANE, WEKA, enlarged
from cpu_turns import Contender, Worker, WorkerError
from scipy import ndimage

from compdistort.features import FEATURE_SETS
from compdistort.match import count_matches, match_objects, overlapping

PROPERTIES = (
    "area", "centroid", "perimeter", "axis_major_length", "axis_minor_length", "orientation", "feret_diameter_max",
    "solidity", "extent", "bbox",
)  # fmt: skip
"""What scikit-image has of the 19 parameters (no smallest Feret diameter, no Feret end points)."""

TABLE_SHARE = 8
"""scikit-image gets one object in so many: its cost is linear in objects."""


class Parts:
    """The stations, over the sizes, scenes and forests of the stages."""

    def __init__(self, stages):
        self.stages = stages

    @property
    def bench(self):
        """What takes the rows of the stage that is running."""
        return self.stages.bench

    # --- features

    def features(self):
        """Features alone, of a volume.

        Ours are made as a replicate has them made: block by block, and read where they are by whoever votes. A stack of
        the whole image, which the peers make, is a row of its own: it is mostly memory that is new to the process.
        """
        stages, sizes = self.stages, self.stages.sizes
        scene = stages.scene(HARD)
        self.bench.gates["features ilastik, 3D"] = gate_features(stages.ours, scene)
        large = scene.of(enlarged(scene.raw, sizes.large))
        slab = np.ascontiguousarray(large.raw[: sizes.slab])
        share = f"on {sizes.slab} of {sizes.large} planes" if sizes.slab < sizes.large else ""
        self._stack(large, "ilastik", slab, f"{sizes.large}^3", "features", share)

    def plane_features(self):
        """Features alone, of planes."""
        stages = self.stages
        for recipe, name in ((PLANE, "ilastik"), (WEKA, "weka")):
            plane = stages.scene(recipe)
            self.bench.gates[f"features {name}, 2D"] = gate_features(stages.ours, plane)
            rows = np.ascontiguousarray(plane.raw[: max(48, len(plane.raw) // 4)])
            share = f"on {len(rows)} of {len(plane.raw)} rows"
            self._stack(plane, name, rows, f"{len(plane.raw)}^2", "", share)

    def _stack(self, scene, name, part, where, target, share):
        """Compare one stack with SciPy's, and with every other library that is here."""
        bank, backend = scene.bank(name), self.stages.ours.backend
        label = f"features {name} {where}"
        with ExitStack() as stack:
            contenders = [
                Contender("ours", in_pieces(all_blocks(scene.raw, bank)), scene.raw.size),
                Contender("stack", lambda _: backend.feature_stack(scene.raw, bank), scene.raw.size, settles=False),
                Contender("SciPy", in_pieces(lambda _: scipy_stack(part, name, scene.sigmas)), part.size, share),
                *self._other_stacks(stack, scene, name, part, share, label),
            ]
            found = self.stages.times(*contenders)
        whole = found.pop("stack")
        for peer in list(found)[1:]:
            self.bench.compare(label, found["ours"], found[peer], peer, target=target if peer == "SciPy" else "")
        self.bench.compare(f"{label}, as a stack", whole, found["SciPy"], "SciPy")

    def _other_stacks(self, stack, scene, name, part, share, label):
        sigmas = scene.sigmas or FEATURE_SETS["ilastik"]
        if name == "ilastik":
            few = part if part.ndim == 2 else part[: max(8, len(part) // 4)]
            call = skimage_features(few, sigmas)
            own = f"{share}, scikit-image on {len(few)}; its own features, {len(sigmas)} scales".lstrip(", ")
            yield Contender("scikit-image multiscale_basic_features", lambda _: call(), few.size, own, settles=False)
        if name == "ilastik" and part.ndim == 2:
            try:
                run = opencv_stack(part, scene.of(part).bank(name))
            except ImportError as error:
                self.bench.miss("OpenCV", str(error))
            else:
                self._check_opencv(run(), scene.of(part), name)
                yield Contender("OpenCV", lambda _: run(), part.size, share, settles=False)
        for library in ("vigra", "fastfilters") if name == "ilastik" else ():
            data = {"image": part, "sigmas": np.array(sigmas)}
            worker = self._foreign(stack, library, "features", data, label)
            if worker is not None:
                call = worker.ask
                yield Contender(
                    library, lambda k, call=call: call(number=k)["seconds"], part.size, share, settles=False
                )

    def _check_opencv(self, planes, scene, name):
        ours = self.stages.ours.backend.feature_stack(scene.raw, scene.bank(name))
        worst = max(float(np.abs(a - b).max() / b.std()) for a, b in zip(planes, ours, strict=True))
        self.bench.gates["OpenCV's features, 2D"] = {"largest_difference_in_sd": worst}
        if worst > 1e-2:
            raise GateError(f"OpenCV's features differ by {worst:.2g} standard deviations")

    def _foreign(self, stack, library, work, data, label):
        """Return a worker of a Python that has the library, or None; then it is told why."""
        path = self.stages.folder / f"{library}_{work}.npz"
        np.savez(path, **data)
        script = str(Path(__file__).with_name("cpu_foreign.py"))
        reasons = []
        for place, python in _pythons(library).items():
            try:
                return stack.enter_context(Worker([python, script, library, work, str(path)]))
            except WorkerError as error:
                reasons.append(f"{place}: {error}")
        self.bench.miss(library, "; ".join(reasons))
        return None

    # --- forest

    def forest(self):
        """The forest alone, on features or codes that are ready, and every other engine for the same trees."""
        stages, sizes = self.stages, self.stages.sizes
        scene = stages.scene(HARD)
        image = stages.ours.backend.replicate(scene.raw, scene.noise, KEY, range(1))[0]
        bank = scene.bank()
        planes = stages.ours.backend.feature_stack(image, bank).reshape(len(bank.names), -1)
        planes = np.ascontiguousarray(planes[:, : sizes.forest_pixels])
        for variant in ("float", "uint16", "uint8"):
            with self.bench.stage(f"forest, {variant}"):
                self._forest(variant, planes, scene.rule)

    def _forest(self, variant, planes, rule):
        sizes, n = self.stages.sizes, planes.shape[1]
        grown = self.stages.grown(HARD, variant)
        self.bench.gates[f"forest, {variant}"] = gate_forest(grown, rule, planes)
        voter, used = voter_rows(grown.flat, rule, planes)
        codes = codes_of(voter, used)
        rows = grown.sees(planes[:, : sizes.peer_pixels])
        share = f"on {len(rows)} pixels, ours on {n}"
        with ExitStack() as stack:
            others = self._other_engines(stack, grown, rows, planes, share) if variant == "float" else []
            found = self.stages.times(
                Contender("features", lambda _: mask_bits(voter, used, rule), n),
                Contender("codes", lambda _: mask_bits_of_codes(voter, codes, rule), n),
                Contender("scikit-learn", in_pieces(lambda _: grown.estimator.predict_proba(rows)), len(rows), share),
                *others,
            )
        kind = codes.dtype.name
        gated = "features" if variant == "float" else "codes"
        for ours, words in (("features", "from float32 features"), ("codes", f"from {kind} codes")):
            name = f"forest, hard 3D, {variant}, {words}"
            target = f"forest {variant}" if ours == gated else ""
            self.bench.compare(name, found[ours], found["scikit-learn"], "scikit-learn", target=target)
        for each in others:
            name = "forest, hard 3D, float, from float32 features"
            self.bench.compare(name, found["features"], found[each.name], each.name)

    def _other_engines(self, stack, grown, rows, planes, share):
        found = []
        wanted = grown.estimator.predict_proba(rows)[:, 1]
        for peer in forest_peers(grown, rows, self.stages.folder):
            if peer.absent:
                self.bench.miss(peer.name, peer.absent)
                continue
            differ = int(((peer.probability(rows) >= 0.5) != (wanted >= 0.5)).sum())
            words = f"{share}; prepared in {peer.prepare_seconds:.0f} s; {differ} pixels unlike scikit-learn"
            if not self.bench.speeds:
                words = share
            call = peer.probability
            found.append(Contender(peer.name, lambda _, call=call: call(rows), len(rows), words, settles=False))
        scene = self.stages.scene(HARD)
        few = np.ascontiguousarray(rows[: max(512, len(rows) // 8)])
        bank = scene.bank()
        annotated = self.stages.ours.backend.feature_stack(scene.raw, bank).reshape(len(bank.names), -1)
        data = {
            "rows": annotated[:, scene.places].T,
            "labels": scene.labels,
            "pixels": few,
            "trees": grown.flat.n_trees,
        }
        worker = self._foreign(stack, "vigra", "forest", data, "forest")
        if worker is not None:
            words = f"on {len(few)} pixels, ours on {planes.shape[1]}; its own forest of the same rows"
            found.append(Contender("vigra", lambda k: worker.ask(number=k)["seconds"], len(few), words, settles=False))
        return found

    # --- object table

    def table(self):
        """Objects of a label image to a table of 19 parameters; matching of two label images."""
        from skimage.measure import regionprops_table

        stages, side = self.stages, self.stages.sizes.table_side
        labels = _blobs(side)
        backend = stages.ours.backend
        values = backend.measure(labels)
        count = len(values)
        few = np.where(labels <= max(1, count // TABLE_SHARE), labels, 0)
        n_few = int(few.max())
        self.bench.gates["object table"] = gate_table(
            values, regionprops_table(labels, properties=("label", "area", "bbox", "centroid"))
        )
        rows = int(np.flatnonzero(few.any(axis=1))[-1]) + 1
        few = np.ascontiguousarray(few[:rows])
        found = stages.times(
            Contender("ours", lambda _: backend.measure(labels), labels.size),
            # The peer's pixels are those of its share of the objects.
            Contender(
                "scikit-image",
                lambda _: regionprops_table(few, properties=PROPERTIES),
                labels.size * n_few / count,
                f"{count} objects; scikit-image on {n_few} of them, {len(PROPERTIES)} of the 19 parameters",
            ),
        )
        name = f"object table {side}^2, {count} objects"
        self.bench.compare(name, found["ours"], found["scikit-image"], "scikit-image regionprops_table", target="table")
        self._match(labels, values)

    def _match(self, labels, values):
        """No peer: how long matching takes beside measuring."""
        backend = self.stages.ours.backend
        moved = np.roll(labels, 1, axis=1)
        moved[:, 0] = 0
        moved = ndimage.label(moved > 0, np.ones((3, 3)), output=np.int32)[0]
        other = backend.measure(moved)

        def match(_):
            pairs = match_objects(values, other)
            return count_matches(len(values), len(other), overlapping(labels, moved), pairs)

        found = self.stages.times(
            Contender("match", match, labels.size),
            Contender("measure", lambda _: backend.measure(labels), labels.size),
        )
        name = f"matching of two label images {len(labels)}^2"
        self.bench.compare(name, found["match"], found["measure"], "our object table")


def _blobs(side):
    """Return about one object in 840 pixels (5,000 in 2048^2), a quarter of the pixels."""
    field = ndimage.gaussian_filter(np.random.default_rng(1).normal(size=(side, side)), 3.8)
    return ndimage.label(field > np.quantile(field, 0.75), np.ones((3, 3)), output=np.int32)[0]


def _pythons(library):
    """Return by name the Pythons that may have a library: that of BENCH_<LIBRARY>_PYTHON, else ours, the system's."""
    variable = f"BENCH_{library.upper()}_PYTHON"
    if variable in os.environ:
        return {variable: os.environ[variable]}
    found = {"this Python": sys.executable, "the system's Python": shutil.which("python3", path="/usr/bin")}
    return {place: python for place, python in found.items() if python}
