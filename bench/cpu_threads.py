"""Two threads against one, and two processes of what one would write today."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from cpu_engine import Ours
from cpu_gates import GateError
from cpu_scenes import HARD, PLANE, enlarged
from cpu_turns import Contender, own_worker


class Threads:
    """The comparisons, over the sizes, scenes and forests of the stages."""

    def __init__(self, stages):
        self.stages = stages

    @property
    def bench(self):
        """What takes the rows of the stage that is running."""
        return self.stages.bench

    def run(self):
        """Two threads against one, on two replicates at once and on one large one; two processes of the others."""
        self._alone()
        two = Ours(threads=2)
        for recipe, variants in ((HARD, ("float", "uint8")), (PLANE, ("float",))):
            scene, n = self.stages.scene(recipe), 2 * self.stages.scene(recipe).raw.size
            for variant in variants:
                grown = self.stages.grown(recipe, variant)
                self._same_tables(scene, grown, two)
                found = self.stages.times(
                    Contender("one", self.stages.ours.replicate(scene, grown, 2), n),
                    Contender("two", two.replicate(scene, grown, 2), n),
                )
                name = f"two replicates {scene.raw.shape[0]}^{scene.raw.ndim}, {recipe.name}, {variant}, two threads"
                self.bench.compare(name, found["two"], found["one"], "one thread", target="threads")
        self._one_large(two)
        self._two_processes(two)

    def _alone(self):
        """What two threads are worth here where they share nothing: processors of a cloud may be halves of a core."""
        n = self.stages.sizes.volume**3 // 50

        def rounds(_):
            hashlib.pbkdf2_hmac("sha512", b"password", b"salt", n)  # in registers, without Python's lock

        with ThreadPoolExecutor(2) as pool:
            found = self.stages.times(
                Contender("one", lambda _: [rounds(k) for k in range(2)], 2 * n),
                Contender("two", lambda _: list(pool.map(rounds, range(2))), 2 * n),
            )
        self.bench.compare(
            "rounds of SHA-512, which share nothing, two threads", found["two"], found["one"], "one thread"
        )

    def _same_tables(self, scene, grown, two):
        """Results never depend on threads."""
        tables = [engine.replicate(scene, grown, 2)(0) for engine in (self.stages.ours, two)]
        if not all(np.array_equal(a, b) for a, b in zip(*tables, strict=True)):
            raise GateError("two threads give another table than one")

    def _one_large(self, two):
        scene = self.stages.scene(HARD)
        large = scene.of(enlarged(scene.raw, self.stages.sizes.large))
        grown = self.stages.grown(HARD, "float")
        self._same_tables(large, grown, two)
        found = self.stages.times(
            Contender("one", self.stages.ours.replicate(large, grown), large.raw.size),
            Contender("two", two.replicate(large, grown), large.raw.size),
        )
        name = f"one replicate {self.stages.sizes.large}^3, hard 3D, float, shared by two threads"
        self.bench.compare(name, found["two"], found["one"], "one thread", target="threads")

    def _two_processes(self, two):
        """What two cores do with the others: two processes with one replicate each, at once."""
        scene, grown = self.stages.scene(HARD), self.stages.grown(HARD, "float")
        path = self.stages.kept("numpy", {"scene": scene, "share": 1})
        with ExitStack() as stack:
            workers = [stack.enter_context(own_worker("numpy", path)) for _ in range(2)]

            def both(number):
                for k, worker in enumerate(workers):
                    worker.tell(number=2 * number + k)
                for worker in workers:
                    worker.listen()

            n = 2 * scene.raw.size
            found = self.stages.times(Contender("ours", two.replicate(scene, grown, 2), n), Contender("numpy", both, n))
        name = f"two replicates {scene.raw.shape[0]}^3, hard 3D, float, two threads"
        self.bench.compare(name, found["ours"], found["numpy"], "NumPy + SciPy + scikit-learn in two processes")
