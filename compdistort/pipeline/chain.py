"""What every image of a study goes through, and where its noise comes from: of images that memory holds."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from compdistort.backend.base import Backend, FilterBank, Float64, NoiseTables, SegmentRule
from compdistort.codecs import Codec
from compdistort.codecs.base import CodecOutcome
from compdistort.codecs.planewise import Watch
from compdistort.forest import Classifier
from compdistort.grey_levels import GreyLevels
from compdistort.io.planes import all_planes, as_reader, grey_levels
from compdistort.measurands import Measurands, Voxel
from compdistort.pipeline.lifted import lift
from compdistort.pipeline.objects import LabelledObjects, Objects
from compdistort.pipeline.steps import NO_STEPS, Seen, Steps
from compdistort.pipeline.views import View, projection
from compdistort.replicate import pixel_sums
from compdistort.replicate.drawing import PixelSums
from compdistort.segment import segment
from compdistort.sensor.model import SensorModel

Image = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """The raw image through a codec.

    Attributes
    ----------
    result : CodecOutcome
        What the codec did.
    decoded : ndarray of shape ([planes,] rows, columns), uint16 or float32; or PlaneReader
        The decoded image as it was recorded, DN.
    image : array of shape ([planes,] rows, columns), uint16 or float32
        What is seen of the decoded image, as `Chain.find` takes it.
    shown : ndarray of shape (rows, columns), uint16 or float32
        What a view shows of that.
    recorded : ndarray of shape (rows, columns), uint16 or float32, or None
        The recorded view of the decoded image, DN; None without steps.
    found : tuple of dict
        What every step found on the decoded image.
    """

    result: CodecOutcome
    decoded: Any
    image: Any
    shown: Image
    recorded: Image | None = None
    found: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """The chain that every image of the study goes through, and where its noise comes from.

    Noise and codecs belong to the image as it was recorded, features and objects to what the steps make of it.

    Attributes
    ----------
    raw : ndarray of shape ([planes,] rows, columns), uint16
        Raw image as it was recorded, DN.
    sensor : SensorModel
        Cropped to the image.
    noise : NoiseTables
        Its law as tables.
    key : (int, int)
        Philox key of the noise stream.
    classifier : Classifier
        Trained or loaded.
    bank : FilterBank
        Its features.
    rule : SegmentRule
        From probability to objects.
    measurands : Measurands
        What is predicted.
    voxel_um : (plane, row, column), or None
        Size of a voxel, where it is known.
    backend : Backend
        The engine.
    on_device : array of shape ([planes,] rows, columns), uint16
        The raw image in the engine's library: uploaded once, however many replicates are drawn of it.
    steps : Steps
        What an image goes through before its features are computed.
    after_steps : ndarray of shape ([planes,] rows, columns), uint16 or float32, or None
        What they make of the raw image; None without steps (see `seen`).
    slab : int
        Planes that are decided together of a volume on disk (see `SlabChain`); 0 of an image in memory.
    """

    raw: Any
    sensor: SensorModel
    noise: NoiseTables
    key: tuple[int, int]
    classifier: Classifier
    bank: FilterBank
    rule: SegmentRule
    measurands: Measurands
    voxel_um: Voxel | None
    backend: Backend[Any]
    on_device: Any
    steps: Steps = NO_STEPS
    after_steps: Image | None = None
    slab: int = 0

    @property
    def seen(self) -> Image:
        """What the classifier sees of the raw image, on the host: the raw image itself where there are no steps."""
        return self.raw if self.after_steps is None else self.after_steps

    def host_parts(self) -> dict[str, Any]:
        """Return what another process needs to build the same chain on an engine of its own (see `rebuild`)."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _OF_ENGINE}

    @classmethod
    def rebuild(cls, parts: dict[str, Any], backend: Backend[Any]) -> Self:
        """Return the chain of `host_parts` on an engine."""
        return cls(**parts, backend=backend, on_device=backend.to_device(parts["raw"]))

    def require_same_raw(self) -> None:
        """Do nothing: an image in memory stays what it is (see `SlabChain`)."""

    def prepare(self, codec: Codec) -> Codec:
        """Return a codec with its knobs fixed on the raw image."""
        return codec.with_sensor(self.sensor).prepare(self.raw)

    def levels(self) -> GreyLevels:
        """Return the grey levels of the recorded raw image."""
        return grey_levels(self.raw)

    def see(self, image: Any) -> Any:
        """Return a recorded image, in the engine's library, as `find` takes it: after the steps."""
        return self.backend.to_device(self._seen(self.backend.to_host(image)).image) if self.steps else image

    def _seen(self, image: Image) -> Seen:
        return self.steps.see(image, self.backend)

    def replicate(self, index: int) -> Any:
        """Return a replicate, uint16 of the raw image's shape, as `see` takes it."""
        return self.backend.replicate(self.on_device, self.noise, self.key, range(index, index + 1))[0]

    def for_codecs(self, replicate: Any) -> Any:
        """Return a replicate as `decode` takes it."""
        return self.backend.to_host(replicate).astype(np.uint16, copy=False)

    def decode(self, codec: Codec, image: Any) -> Any | None:
        """Return what is seen of an image through a codec, as `find` takes it; None where the codec changes nothing."""
        decoded = codec.restored(image)
        if decoded.dtype == image.dtype and np.array_equal(decoded, image):
            return None
        return self.backend.to_device(self._seen(decoded).image)

    def compress(self, codec: Codec, view: View, watch: Watch | None = None) -> Compressed:
        """Return the raw image through a codec whose knobs are fixed; `watch` is shown every plane of it."""
        result = codec.apply(self.raw)
        if watch is not None:
            for pair in zip(all_planes(as_reader(self.raw)), all_planes(as_reader(result.decoded)), strict=True):
                watch(*pair)
        seen = self._seen(result.decoded)
        return Compressed(
            result=result,
            decoded=result.decoded,
            image=self.backend.to_device(seen.image),
            shown=view.of(seen.image),
            recorded=self.recorded_view().of(result.decoded) if self.steps else None,
            found=seen.found,
        )

    def lifted(self, decoded: Any, by_dn: float) -> Any:
        """Return what is seen of a decoded image (`Compressed.decoded`) with a constant added, as `find` takes it."""
        return self.backend.to_device(self._seen(lift(decoded, by_dn)).image)

    def find(self, image: Any) -> Objects:
        """Return the objects of what is seen of an image, uint16 or float32, in the engine's library."""
        found = self.backend.image_objects(image, self.bank, self.classifier.forest, self.rule)
        return LabelledObjects(labels=found.labels, values=found.values)

    def find_raw(self) -> tuple[Objects, View, Float64]:
        """Return the objects of the raw image, the view that shows most of them, and the probability that it shows."""
        parts = segment(self.seen, self.classifier, self.rule, self.backend)
        values = self.backend.measure(self.backend.to_device(parts.labels))
        found = LabelledObjects(labels=parts.labels, values=values)
        view = found.choose_view()
        return found, view, view.of(parts.probability)

    def shown(self, view: View) -> Image:
        """Return what a view shows of what is seen of the raw image, of shape (rows, columns), uint16 or float32."""
        return view.of(self.seen)

    def projection(self) -> Image:
        """Return the maximum of what is seen of the raw image over its planes, of shape (rows, columns)."""
        return projection(self.seen)

    def part(self, spans: tuple[tuple[int, int], ...]) -> Image:
        """Return a part of what is seen of the raw image: first and one past the last index on every axis."""
        return np.ascontiguousarray(self.seen[tuple(slice(*span) for span in spans)])

    def decoded_part(self, codec: Codec, spans: tuple[tuple[int, int], ...]) -> Image:
        """Return the same part of what is seen of the whole raw image through a codec."""
        seen = self._seen(codec.apply(self.raw).decoded).image
        return np.ascontiguousarray(seen[tuple(slice(*span) for span in spans)])

    def recorded_view(self) -> View:
        """Return which frame stands for the recorded image where there are steps: the middle one of a stack."""
        return View(len(self.raw) // 2) if self.raw.ndim == 3 else View()

    def pixel_sums(self, view: View, seed: int, n_replicates: int) -> PixelSums:
        """Return the exact sums over replicates of the pixels that a view shows of the recorded image."""
        frame = view.of(self.raw) if self.steps else self.shown(view)
        return pixel_sums(frame, self.noise, self.backend, seed, range(n_replicates), view.origin)


_OF_ENGINE = ("backend", "on_device")
