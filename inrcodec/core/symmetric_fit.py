"""Volume scope with symmetry: the asymmetric unit once, where that takes fewer bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations, product
from typing import Any

import numpy as np

from inrcodec.core.choices import Choice
from inrcodec.core.decoder import decode_many
from inrcodec.core.encoder import encode_many, encoding_backend
from inrcodec.core.fitting import Voxels
from inrcodec.core.occupancy import coarsen
from inrcodec.core.prepare import Prepared, prepare
from inrcodec.core.presets import EFFORTS, Preset
from inrcodec.core.prior import prior
from inrcodec.core.settings import Settings
from inrcodec.core.settling import settle
from inrcodec.core.shell_loop import fit_fsc
from inrcodec.core.symmetry.asymmetric_unit import NoImages, find_unit
from inrcodec.core.symmetry.detection import Detected
from inrcodec.core.symmetry.fitting import unit_voxels
from inrcodec.core.symmetry.groups import Helix, Symmetry
from inrcodec.core.symmetry.images import Images
from inrcodec.core.symmetry.model import SymmetryModel
from inrcodec.core.volume import VolumeModel, short_step
from inrcodec.core.volume_fit import fit, train
from inrcodec.core.volume_sample import Part, allowed_error, chunk_boxes
from inrcodec.core.volume_training import BITS_SLOPE, Progress, filled_score, nearby_block

_COARSE = 48  # voxels a side of the grid that an asymmetric unit is placed on
_BLOCK = 10  # voxels: a usual block length
_FAR = 0.9  # of the longest distance from the centre: density there is the solvent's
_MARGINS = (0, 1, 2)
_NOTHING = 0.01  # of the error that the step leaves: density that needs no symmetry
_RATIO_TURNS = 6
_BOUND_TURNS = 8
_SHORTER = 0.8  # of a step: the next one tried
_NEAR = 0.01  # of the bytes asked for: enough

Array = np.ndarray[Any, Any]


def fit_symmetric_volume(
    volume: Array,
    settings: Settings,
    detected: Detected,
    chunk_shape: tuple[int, ...],
    *,
    resolution: float | None = None,
    voxel_size: tuple[float, ...] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> VolumeModel:
    """The model of a volume with its symmetry where that takes fewer bytes, and without otherwise.

    Both are fitted, encoded and compared, configurations counted. What was found is in the model's choices.

    Args:
        volume: (d, h, w).
        settings: target, effort and the rest.
        detected: its symmetry.
        chunk_shape: of the chunks that it is written in without symmetry.
        resolution, voxel_size: of an ``fsc`` target, as for :func:`inrcodec.core.fit_fsc`.
        device: as for :func:`inrcodec.core.encode_many`.
        progress: called with the fraction done.
    """
    report = progress or (lambda _: None)

    def fitted(symmetry: SymmetryModel | None, done: Progress) -> VolumeModel:
        if settings.target.kind == "fsc":
            assert resolution is not None
            assert voxel_size is not None
            return fit_fsc(
                volume,
                settings,
                chunk_shape,
                resolution=resolution,
                voxel_size=voxel_size,
                symmetry=symmetry,
                device=device,
                progress=done,
            )
        if symmetry is None:
            return fit(volume, settings, chunk_shape, device=device, progress=done)
        assert ready is not None
        return _fit_unit(volume, ready, settings, plain, symmetry, device)

    ready = prepare(np.ascontiguousarray(volume), settings.threshold)
    plain = fitted(None, lambda f: report(0.5 * f))
    if ready is None:
        return plain
    try:
        symmetry = placed(detected.symmetry, ready, plain.step)
        if symmetry.images.axes:
            symmetry = _with_margin(volume, settings, replace(plain, symmetry=symmetry), device)
        report(0.6)
        model = fitted(symmetry, lambda f: report(0.6 + 0.3 * f))
    except NoImages:
        why = "so large an error is allowed that hardly anything is coded"
        return with_choice(plain, Choice("symmetry", None, why))
    if settings.target.kind == "max_error":
        model = _settled_bound(volume, settings, model, device)
    report(0.9)
    name = detected.symmetry.group.symbol
    bytes_ = {
        name.lower(): _nbytes(volume, settings, model, volume.shape, device),
        "none": _nbytes(volume, settings, plain, chunk_shape, device),
    }
    best = min(bytes_, key=lambda key: bytes_[key])
    if settings.target.kind == "ratio" and best != "none":
        model = _settled_ratio(volume, settings, model, device)  # as many bytes, and a better quality
    why = f"bytes; the map predicts itself at {detected.decibel:.1f} dB"
    choice = Choice(
        "symmetry", name if best != "none" else None, why, {k: float(v) for k, v in bytes_.items()}
    )
    report(1.0)
    out = plain if best == "none" else model
    return with_choice(out, choice)


def with_choice(model: VolumeModel, choice: Choice) -> VolumeModel:
    """A model that tells of one more choice."""
    choices = model.choices
    return (
        model if choices is None else replace(model, choices=replace(choices, made=(*choices.made, choice)))
    )


def _nbytes(
    volume: Array, settings: Settings, model: VolumeModel, chunk: tuple[int, ...], device: str
) -> int:
    """Bytes of all payloads and of the configuration."""
    chunks = [np.ascontiguousarray(volume[box]) for box in chunk_boxes(volume.shape, chunk)]
    payloads = encode_many(chunks, replace(settings, volume=model), device=device)
    return sum(map(len, payloads)) + len(json.dumps(model.to_config()))


def placed(symmetry: Symmetry, ready: Prepared, step: float) -> SymmetryModel:
    """Where the asymmetric unit is best taken: the radius and the direction that leave the least to code.

    Args:
        symmetry: of the volume.
        ready: the volume.
        step: quantiser step in density units, by which density far out counts as none.

    Raises:
        NoImages: next to no density is left within any radius.
    """
    d, h, w = ready.chunk.shape
    represented = np.zeros((d, h, w), bool)
    represented[ready.box] = True
    radius = _radius(symmetry, ready, step)
    # where it lies shows on a coarse grid as well
    factor = -(-max(d, h, w) // _COARSE)
    some = represented[::factor, ::factor, ::factor]
    z, y, x = (c // factor for c in symmetry.centre)
    group = symmetry.group
    if isinstance(group, Helix):
        group = replace(group, rise=max(1, group.rise // factor))
    coarse = Symmetry(group, (z, y, x), symmetry.orientation)
    within = None if radius is None else -(-radius // factor)
    cell = max(1, round(_BLOCK / factor))
    sizes = {}
    for direction in _directions(symmetry):
        _, mask = find_unit(Images(coarse, direction, within), some)
        sizes[direction] = int(np.count_nonzero(coarsen(mask, cell)))
    return SymmetryModel(symmetry, min(sizes, key=lambda way: sizes[way]), (d, h, w), radius)


def _with_margin(volume: Array, settings: Settings, model: VolumeModel, device: str) -> SymmetryModel:
    """The margin that takes the fewest bytes, brought to one error.

    What interpolation at the faces of an asymmetric unit gets wrong the rest has to mend: more of it the
    smaller the unit, and the higher the target.
    """
    assert model.symmetry is not None
    scores: dict[SymmetryModel, float] = {}
    for margin in _MARGINS:
        symmetry = replace(model.symmetry, margin=margin)
        tried = replace(model, symmetry=symmetry)
        (payload,) = encode_many([volume], replace(settings, volume=tried), device=device)
        (decoded,) = decode_many([payload], volume=tried)
        with np.errstate(invalid="ignore"):
            difference = volume.astype(np.float64) - decoded
        error = float(np.sum(np.nan_to_num(difference, posinf=0.0, neginf=0.0) ** 2))
        scores[symmetry] = len(payload) * max(error, 1e-300) ** BITS_SLOPE
    return min(scores, key=lambda symmetry: scores[symmetry])


def _radius(symmetry: Symmetry, ready: Prepared, step: float) -> int | None:
    """The least radius beyond which there is next to no density; None where there is some everywhere."""
    d, h, w = ready.chunk.shape
    distance = Images(symmetry, (0, 0, 1)).distance((d, h, w))[ready.box]
    far = ready.values[distance > _FAR * distance.max()].mean()
    level = ready.offset if ready.masked else far
    energy = np.bincount(distance.ravel(), weights=((ready.values - level) ** 2).ravel())
    beyond = energy.sum() - energy.cumsum()
    left = min(ready.values.size * step**2 / 12, energy.sum())  # steps may be far larger than the density
    radius = int(np.flatnonzero(beyond <= _NOTHING * left)[0])
    return radius if radius < distance.max() else None


def _directions(symmetry: Symmetry) -> list[tuple[int, int, int]]:
    group = symmetry.group
    if symmetry.orientation is None and (isinstance(group, Helix) or group.family in "CD"):
        return [(0, 0, 1), (0, 1, 0), (0, 1, 1)]
    # near the axes and between them, with no two lengths equal: images would be equally far along the lattice
    ways = [way for lengths in ((6, 3, 1), (20, 5, 2)) for way in permutations(lengths)]
    return [(z, sy * y, sx * x) for z, y, x in ways for sy, sx in product((1, -1), repeat=2)]


def _fit_unit(
    volume: Array,
    ready: Prepared,
    settings: Settings,
    plain: VolumeModel,
    symmetry: SymmetryModel,
    device: str,
) -> VolumeModel:
    """Block length and network for the asymmetric unit, and the step that meets the target with them."""
    backend = encoding_backend(replace(settings, volume=plain), device)
    preset = EFFORTS[settings.effort]
    masked = ready.masked and (ready.threshold or plain.cell is not None)
    occupied = ready.occupied(plain.cell or 1) if masked else None
    _, voxels = unit_voxels(backend, symmetry, ready, occupied, plain.shells)
    step = plain.step / ready.scale
    block, chosen = _unit_block(voxels, ready, plain.block, step, settings, preset)
    parts = [Part(ready, voxels, voxels.analyse(block))]
    network, _, trained = train(parts, step, preset, None, 1.0, lambda _: None)
    model = replace(
        plain,
        block=block,
        weights=network.to_bytes(prior()),
        symmetry=symmetry,
    )
    for choice in (*chosen, *trained):
        model = with_choice(model, choice)
    if settings.target.kind == "snr":
        whole = [tuple(slice(0, n) for n in volume.shape)]
        allowed = allowed_error(volume, whole, settings.threshold, settings.target) / ready.scale**2
        return settle(backend, volume, whole, ready.scale, settings, model, allowed)
    return model


def _unit_block(
    voxels: Voxels, ready: Prepared, start: int, step: float, settings: Settings, preset: Preset
) -> tuple[int, list[Choice]]:
    """The block that takes the fewest bits around the asymmetric unit, near the volume's."""

    def figure(length: int) -> float:
        return filled_score([Part(ready, voxels, voxels.analyse(length))], step, preset, None)

    why = "times the fewest bits of the asymmetric unit"
    return nearby_block(voxels.shape, start, settings.block, figure, why)


def _settled_bound(volume: Array, settings: Settings, model: VolumeModel, device: str) -> VolumeModel:
    """The model with the step at which field and corrections together take the fewest bytes.

    Symmetry makes the field cheaper and leaves corrections as they are: a shorter step than without it pays.
    """
    best, least = model, _nbytes(volume, settings, model, volume.shape, device)
    for factor in (_SHORTER, 1 / _SHORTER):
        for _ in range(_BOUND_TURNS):
            tried = replace(best, step=short_step(best.step * factor))
            nbytes = _nbytes(volume, settings, tried, volume.shape, device)
            if nbytes >= least:
                break
            best, least = tried, nbytes
        if best is not model:
            break
    return best


def _settled_ratio(volume: Array, settings: Settings, model: VolumeModel, device: str) -> VolumeModel:
    """The model with a step that spends the bytes of a ratio, as near as a few turns come."""
    most = volume.nbytes / settings.target.value
    best, at, slope = model, float(np.log(model.step)), -1.0
    before: tuple[float, float] | None = None
    for _ in range(_RATIO_TURNS):
        tried = replace(model, step=short_step(float(np.exp(at))))
        excess = float(np.log(_nbytes(volume, settings, tried, volume.shape, device) / most))
        if excess <= 0 and tried.step < best.step:
            best = tried
        if -_NEAR < excess <= 0:
            break
        if before is not None and at != before[0]:
            slope = float(np.clip((excess - before[1]) / (at - before[0]), -2.0, -0.2))
        before = (at, excess)
        at -= float(np.clip((excess + _NEAR / 2) / slope, -2, 2))
    return best
