"""The stages under the clock. Each proves its bits against the plain twin first; without that it has no speed."""

import numpy as np
from gpu_peers import HostPeers, device_filters, device_noise, device_stack
from gpu_scenes import (
    KEY,
    RULE_2D,
    RULE_3D,
    bank,
    fma_per_voxel,
    forest_for,
    mean_depth,
    scene,
    tables,
)

from compdistort.backend.cupy_backend import CupyBackend
from compdistort.backend.device import forest as device_forest
from compdistort.backend.numpy_backend import NumpyBackend

LOW_ELECTRONS, HIGH_ELECTRONS = 10.0, 1000.0
NOISE_CASES = (
    ("scalar", HIGH_ELECTRONS),
    ("scalar", LOW_ELECTRONS),
    ("regions", HIGH_ELECTRONS),
    ("maps", HIGH_ELECTRONS),
)


class GateError(AssertionError):
    """Bits differ from the plain twin's."""


def same_bits(got, wanted, what):
    """Raise where two arrays differ in a bit."""
    got, wanted = np.ascontiguousarray(got), np.ascontiguousarray(wanted)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        raise GateError(f"{what}: {got.dtype} of shape {got.shape}, not {wanted.dtype} of shape {wanted.shape}")
    word = f"u{wanted.dtype.itemsize}"
    bad = np.flatnonzero(got.reshape(-1).view(word) != wanted.reshape(-1).view(word))
    if bad.size:
        at = tuple(int(i) for i in np.unravel_index(bad[0], wanted.shape))
        raise GateError(f"{what}: {bad.size} of {wanted.size} differ, first at {at}: {got[at]!r}, not {wanted[at]!r}")


class Stages:
    """All stages on one machine; every method measures one of them into `bench`."""

    def __init__(self, machine, sizes, bench):
        self.machine, self.sizes, self.bench = machine, sizes, bench
        self.engine, self.plain, self.host = machine.engine, NumpyBackend(jit=False), HostPeers()

    def run(self, only=()):
        for name in STAGES:
            if (not only or name in only) and not self.bench.closed(name):
                with self.bench.stage(name):
                    getattr(self, name)()
                self.machine.free_memory()

    def rates(self):
        """Copy rate and fma rate of the device, and copies to and from the host."""
        n = self.sizes.copy_bytes
        copied = self.bench.add("copy within the device", self.machine.copier(n), voxels=n, n_bytes=2 * n)
        self.bench.copy_rate = copied.gb_s
        blocks, rounds = self.sizes.fma
        done = blocks * 256 * rounds * 32
        run = self.machine.fma_runner(blocks, rounds)
        row = self.bench.add("fma", run, voxels=blocks * 256, fma=done, note=f"{done:.3g} fma a call")
        self.bench.fma_rate = None if row.median is None else done / row.median
        data = np.zeros(min(n, 1 << 28), np.uint8)
        on_device = self.engine.to_device(data)
        self.bench.add("copy to the device", lambda: self.engine.to_device(data), voxels=data.size, n_bytes=data.size)
        self.bench.add("copy to the host", lambda: self.engine.to_host(on_device), voxels=data.size, n_bytes=data.size)

    def noise(self):
        """Replicates of a plane: low and high counts, sensors of three kinds."""
        shape, count = (self.sizes.plane,) * 2, self.sizes.replicates
        for kind in ("scalar", "regions", "maps"):
            self._gate_noise(kind)
        for kind, electrons in NOISE_CASES:
            image, law = self.engine.to_device(scene(shape, electrons)[0]), tables(kind, shape)
            self.bench.add(
                f"noise {kind}, {electrons:g} e-, {count} replicates a launch",
                lambda image=image, law=law: self.engine.replicate(image, law, KEY, range(count)),
                voxels=count * image.size,
                n_bytes=2 * image.size * (count + 1),
            )
        image = scene(shape)[0]
        self._on_device("CuPy's Poisson and normal", lambda on: device_noise(self.machine, on), image)
        small = scene((self.sizes.peer_plane,) * 2)[0]
        name = f"NumPy's Poisson and normal, {self.host.cores} cores"
        self.bench.add(name, lambda: self.host.noise(small), voxels=small.size, peer=True)

    def _gate_noise(self, kind):
        shape = self.sizes.gate_volume
        for electrons in (LOW_ELECTRONS, HIGH_ELECTRONS):
            image, law = scene(shape, electrons)[0], tables(kind, shape)
            arguments = (law, KEY, range(3, 6), (2, 5, 7))
            got = self.engine.replicate(self.engine.to_device(image), *arguments)
            same_bits(self.engine.to_host(got), self.plain.replicate(image, *arguments), f"noise {kind}")

    def accumulate(self):
        """Exact sums over replicates."""
        count, shape = self.sizes.replicates, (self.sizes.plane,) * 2
        images = np.random.default_rng(1).integers(0, 65536, (count, *self.sizes.gate_plane)).astype(np.uint16)
        sums = [np.zeros(images.shape[1:], np.uint64) for _ in range(2)]
        on_device = [self.engine.to_device(each) for each in sums]
        self.engine.accumulate(self.engine.to_device(images), *on_device)
        self.plain.accumulate(images, *sums)
        for got, wanted in zip(on_device, sums, strict=True):
            same_bits(self.engine.to_host(got), wanted, "sums")
        image = self.engine.to_device(scene(shape)[0])
        drawn = self.engine.replicate(image, tables("scalar", shape), KEY, range(count))
        big = [self.engine.to_device(np.zeros(shape, np.uint64)) for _ in range(2)]
        n_bytes = image.size * (2 * count + 32)
        work = lambda: self.engine.accumulate(drawn, *big)  # noqa: E731
        self.bench.add(f"exact sums of {count} replicates", work, voxels=drawn.size, n_bytes=n_bytes)

    def stack3d(self):
        """Seven sigmas of GS, LoG, GGM and DoG in 3D, against CuPy's and SciPy's filters."""
        for preset in ("plain", "ilastik"):
            self._gate_features(preset, self.sizes.gate_volume)
            for side in self.sizes.cubes:
                self._stack(preset, (side,) * 3)
            filters = self._bank(preset, (self.sizes.peer_cube,) * 3)
            used = tuple(scale.sigma_px for scale in filters.scales)
            small = scene((self.sizes.peer_cube,) * 3)[0]
            self.bench.add(
                f"stack {preset} {small.shape[0]}^3, SciPy, {self.host.cores} cores",
                lambda preset=preset, used=used, small=small: self.host.stack(small, preset, used),
                voxels=small.size,
                peer=True,
            )

    def _stack(self, preset, shape):
        filters, image = self._bank(preset, shape), scene(shape)[0]
        used = tuple(scale.sigma_px for scale in filters.scales)
        on_device = self.engine.to_device(image)
        self.bench.add(
            f"stack {preset} {shape[0]}^3",
            lambda: self.engine.feature_stack(on_device, filters),
            voxels=image.size,
            n_bytes=image.size * (2 + 4 * len(filters.names)),
            fma=image.size * fma_per_voxel(filters, 3),
            note=f"{len(filters.names)} columns, {len(used)} sigmas, bytes: image in, columns out",
        )
        self.machine.free_memory()
        for name, library in device_filters().items():
            label = f"stack {preset} {shape[0]}^3, {name}"
            if isinstance(library, str):
                self.bench.miss(label, library)
            else:
                make = lambda on, library=library: device_stack(self.machine, library, on, preset, used)  # noqa: E731
                self._on_device(label, make, image)

    def _gate_features(self, preset, shape):
        image, filters = scene(shape)[0], self._bank(preset, shape)
        same_bits(self._features(image, filters), self.plain.feature_stack(image, filters), f"stack {preset}")

    def _features(self, image, filters):
        return self.engine.to_host(self.engine.feature_stack(self.engine.to_device(image), filters))

    def _bank(self, preset, shape):
        return bank(preset, len(shape), shape, self.sizes.sigmas.get(preset, ()))

    def weka(self):
        """The 70 Weka planes of an image."""
        self._gate_features("weka", self.sizes.gate_plane)
        image = scene((self.sizes.plane,) * 2)[0]
        filters, on_device = self._bank("weka", image.shape), self.engine.to_device(image)
        self.bench.add(
            f"weka {self.sizes.plane}^2",
            lambda: self.engine.feature_stack(on_device, filters),
            voxels=image.size,
            n_bytes=image.size * (2 + 4 * len(filters.names)),
            note="bytes: image in, planes out",
        )

    def forest(self):
        """Votes of 100 trees, on the device and by the CPU engine, against scikit-learn."""
        for name, shape, gate in (
            ("weka", (self.sizes.plane,) * 2, self.sizes.gate_plane),
            ("ilastik", (self.sizes.cubes[0],) * 3, self.sizes.gate_volume),
        ):
            estimator, flat = self._trained(name, len(shape))
            self._gate_votes(name, gate, flat)
            image = scene(shape)[0]
            features = self.engine.feature_stack(self.engine.to_device(image), self._bank(name, shape))
            n_used, depth = np.unique(flat.feature[flat.feature >= 0]).size, mean_depth(flat)
            visits = f"{depth:.1f} steps a tree in the mean over leaves, {flat.feature.size} nodes"
            for voter in ("device", "cpu"):
                votes = CupyBackend(self.engine.cuda, voter=voter)
                self.bench.add(
                    f"forest {name} {'x'.join(map(str, shape))}, voter {voter}",
                    lambda votes=votes, features=features, flat=flat: votes.forest_proba(features, flat),
                    voxels=image.size,
                    n_bytes=image.size * (4 * n_used + 16),
                    note=visits,
                )
            side = self.sizes.peer_plane if image.ndim == 2 else self.sizes.peer_cube
            small = scene((side,) * image.ndim)[0]
            few = self.engine.to_host(
                self.engine.feature_stack(self.engine.to_device(small), self._bank(name, small.shape))
            )
            self.bench.add(
                f"forest {name} {'x'.join(map(str, small.shape))}, scikit-learn, {self.host.cores} cores",
                lambda few=few, estimator=estimator: self.host.votes(few, estimator),
                voxels=small.size,
                peer=True,
            )

    def _trained(self, name, ndim):
        shape = self.sizes.gate_plane if ndim == 2 else self.sizes.gate_volume
        image, truth = scene(shape)
        features = self.plain.feature_stack(image, self._bank(name, shape))
        return forest_for(features, truth, self.sizes.training)

    def _gate_votes(self, name, shape, flat):
        image, filters = scene(shape, seed=9)[0], self._bank(name, shape)
        features = self.plain.feature_stack(image, filters)
        wanted = self.plain.forest_proba(features, flat)
        rule = RULE_2D if len(shape) == 2 else RULE_3D
        for voter in ("device", "cpu"):
            votes = CupyBackend(self.engine.cuda, voter=voter)
            got = votes.forest_proba(self.engine.to_device(features), flat)
            same_bits(self.engine.to_host(got), wanted, f"forest {name}, voter {voter}")
            mask = self._mask(self.engine.to_device(image), filters, flat, rule, voter)
            same_bits(self.engine.to_host(mask), self.plain.threshold(wanted[rule.foreground], rule), f"mask {name}")

    def labels(self):
        """Labels of masks, and the object table of a plane."""
        for shape, rule, gate in (
            ((self.sizes.plane,) * 2, RULE_2D, self.sizes.gate_plane),
            ((self.sizes.cubes[-1],) * 3, RULE_3D, self.sizes.gate_volume),
        ):
            rough = np.random.default_rng(3).random(gate) < 0.4
            same_bits(
                self.engine.to_host(self.engine.label(self.engine.to_device(rough), rule)),
                self.plain.label(rough, rule),
                "labels",
            )
            truth = scene(shape)[1]
            mask = self.engine.to_device(truth)
            found = self.engine.label(mask, rule)
            objects = int(self.engine.to_host(found).max(initial=0))
            self.bench.add(
                f"labels {'x'.join(map(str, shape))}",
                lambda mask=mask, rule=rule: self.engine.label(mask, rule),
                voxels=truth.size,
                n_bytes=5 * truth.size,
                note=f"{objects} objects, bytes: mask in, labels out",
            )
            if truth.ndim == 2:
                self._measure(rough, rule, found, objects)
            self.bench.add(
                f"labels {'x'.join(map(str, shape))}, SciPy, 1 core", lambda truth=truth: self.host.labels(truth),
                voxels=truth.size, peer=True,
            )  # fmt: skip

    def _measure(self, rough, rule, found, objects):
        small = self.plain.label(rough, rule)
        same_bits(self.engine.measure(self.engine.to_device(small)), self.plain.measure(small), "object table")
        self.bench.add(
            f"object table {self.sizes.plane}^2",
            lambda: self.engine.measure(found),
            voxels=found.size,
            n_bytes=4 * found.size,
            note=f"{objects} objects",
        )

    def chain2d(self):
        """A plane from noise to mask and to object table; features never leave the device with voter device."""
        shape = (self.sizes.plane,) * 2
        estimator, flat = self._trained("ilastik", 2)
        self._gate_votes("ilastik", self.sizes.gate_plane, flat)
        self._gate_tables(flat)
        image, law, filters = (
            self.engine.to_device(scene(shape)[0]),
            tables("scalar", shape),
            self._bank("ilastik", shape),
        )
        for voter in ("device", "cpu"):
            self._noise_to_mask(f"{self.sizes.plane}^2", image, law, filters, flat, RULE_2D, voter)
        arguments = (image, law, KEY, filters, flat, RULE_2D, range(1))
        work = lambda: self.engine.replicate_tables(*arguments)  # noqa: E731
        self.bench.add(f"noise to table {self.sizes.plane}^2", work, voxels=image.size)
        self._host_chain(estimator, filters, (self.sizes.peer_plane,) * 2)

    def _inputs(self, shape):
        """Return raw image on the device, noise law and filters of a chain."""
        return self.engine.to_device(scene(shape)[0]), tables("scalar", shape), self._bank("ilastik", shape)

    def _gate_tables(self, flat):
        shape = self.sizes.gate_plane
        image, law, filters = scene(shape)[0], tables("scalar", shape), self._bank("ilastik", shape)
        arguments = (law, KEY, filters, flat, RULE_2D, range(2, 4))
        found = self.engine.replicate_tables(self.engine.to_device(image), *arguments)
        for got, wanted in zip(found, self.plain.replicate_tables(image, *arguments), strict=True):
            same_bits(got, wanted, "tables of replicates")

    def chain3d(self):
        """A volume from noise to mask, against NumPy, SciPy and scikit-learn; and many replicates in a row."""
        shape = (self.sizes.chain_cube,) * 3
        estimator, flat = self._trained("ilastik", 3)
        self._gate_votes("ilastik", self.sizes.gate_volume, flat)
        image, law, filters = (
            self.engine.to_device(scene(shape)[0]),
            tables("scalar", shape),
            self._bank("ilastik", shape),
        )
        self._noise_to_mask(f"{shape[0]}^3", image, law, filters, flat, RULE_3D, "device")
        cube = (self.sizes.cubes[0],) * 3
        self._noise_to_mask(f"{cube[0]}^3", *self._inputs(cube), flat, RULE_3D, "cpu")
        self._host_chain(estimator, filters, (self.sizes.peer_cube,) * 3)
        self._many_replicates(image, law, filters, flat)

    def _many_replicates(self, image, law, filters, flat):
        count, taken = self.sizes.chain_replicates, []
        download = self.engine.cuda.download
        self.engine.cuda.download = lambda array: taken.append(array.nbytes) or download(array)

        def work():
            taken.clear()
            for index in range(count):
                self._replicate_mask(image, law, filters, flat, RULE_3D, "device", index)

        try:
            row = self.bench.add(
                f"{count} replicates of {image.shape[0]}^3, noise to mask", work, voxels=count * image.size
            )
        finally:
            del self.engine.cuda.download
        row.note = f"{sum(taken) / count:.0f} bytes a replicate came to the host"
        row.bytes_to_host = sum(taken) / count

    def stack(self):
        """One replicate of the light-sheet stack: noise to mask, and on to labels and the sums of every object."""
        shape = self.sizes.stack
        _, flat = self._trained("ilastik", 3)
        self._gate_votes("ilastik", self.sizes.gate_volume, flat)
        self._gate_sums()
        image, law, filters = (
            self.engine.to_device(scene(shape)[0]),
            tables("scalar", shape),
            self._bank("ilastik", shape),
        )
        name = "x".join(map(str, shape))
        self._noise_to_mask(name, image, law, filters, flat, RULE_3D, "device")
        self.machine.free_memory()

        def work():
            mask = self._replicate_mask(image, law, filters, flat, RULE_3D, "device", 1)
            return self._object_sums(self.engine.label(mask, RULE_3D))

        self.bench.add(
            f"noise to object sums {name}", work, voxels=image.size, note="labels and sums, no 3D object table"
        )

    def _gate_sums(self):
        labels = self.plain.label(np.random.default_rng(5).random(self.sizes.gate_volume) < 0.3, RULE_3D)
        sums = self._object_sums(self.engine.to_device(labels))
        at = np.nonzero(labels)
        weights = (np.ones(at[0].size), at[2], at[1], at[0])
        wanted = np.stack([np.bincount(labels[at], weight)[1:] for weight in weights], axis=1).astype(np.uint64)
        same_bits(sums, wanted, "object sums")

    def _object_sums(self, labels):
        """Return voxels and sums of columns, rows and planes of every object, on the host."""
        cuda, (_, rows, columns) = self.engine.cuda, labels.shape
        with cuda.here():
            last = cuda.zeros((1,), np.int32)
            self.machine.yardsticks.launch("fma.largest", (1024,), (256,), labels, last, labels.size)
            sums = cuda.zeros((int(cuda.download(last)[0]), 4), np.uint64)
            arguments = (labels, sums, rows, columns, labels.size)
            self.machine.yardsticks.launch("fma.object_sums", (4096,), (256,), *arguments)
            return cuda.download(sums)

    def _mask(self, image, filters, flat, rule, voter):
        with self.engine.cuda.here():
            return device_forest.image_mask(self.engine.cuda, image, filters, flat, rule, voter)

    def _replicate_mask(self, image, law, filters, flat, rule, voter, index):
        drawn = self.engine.replicate(image, law, KEY, range(index, index + 1))[0]
        return self._mask(drawn, filters, flat, rule, voter)

    def _noise_to_mask(self, name, image, law, filters, flat, rule, voter):
        self.bench.add(
            f"noise to mask {name}, {flat.n_trees} trees, voter {voter}",
            lambda: self._replicate_mask(image, law, filters, flat, rule, voter, 1),
            voxels=image.size,
        )

    def _host_chain(self, estimator, filters, shape):
        image, used = scene(shape)[0], tuple(scale.sigma_px for scale in filters.scales)
        self.bench.add(
            f"noise to mask {'x'.join(map(str, shape))}, NumPy + SciPy + scikit-learn, {self.host.cores} cores",
            lambda: self.host.mask(image, "ilastik", used, estimator),
            voxels=image.size,
            peer=True,
        )

    def _on_device(self, name, make, image):
        """Measure a peer on the device; what it cannot do here is said, not hidden."""
        try:
            work = make(self.engine.to_device(image))
            self.bench.add(name, work, voxels=image.size, peer=True)
        except Exception as error:  # a missing library or no memory is the peer's affair
            self.bench.miss(name, f"{type(error).__name__}: {error}".splitlines()[0])
        self.machine.free_memory()


STAGES = ("rates", "noise", "chain2d", "chain3d", "stack", "stack3d", "forest", "weka", "labels", "accumulate")
"""In the order of what matters most, as the time may run out."""
