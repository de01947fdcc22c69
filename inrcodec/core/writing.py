"""From a fit to a payload that meets its target, checked with the decoder's own arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np

from inrcodec.core import corrections, verbatim
from inrcodec.core.backend import NUMPY
from inrcodec.core.casting import bound_before_cast
from inrcodec.core.choosing import ChunkFit
from inrcodec.core.decoder import reconstruct
from inrcodec.core.field_section import FieldSection
from inrcodec.core.latent_coding import encode_latents
from inrcodec.core.latents import Quantised
from inrcodec.core.payload import Field, Payload, PayloadError, Section
from inrcodec.core.prepare import Prepared
from inrcodec.core.prior import CURRENT, prior
from inrcodec.core.settings import Settings

Array = np.ndarray[Any, Any]

_ATTEMPTS = 8
_REACH = 0.1  # of the step, in natural logarithms: how far rates of known latents hold
_COARSER = 2.0  # natural logarithm of a factor on a step that is too fine for the format
_TOLERANCE = 0.006  # of the squared error, or of the bytes: what may be left unspent


class FieldWriter:
    """Turns one chunk's fit into a payload."""

    def __init__(self, chunk: Prepared, shape: tuple[int, ...], chosen: ChunkFit, settings: Settings) -> None:
        self.chunk = chunk
        self.shape = shape
        self.chosen = chosen
        self.settings = settings
        self.volume = settings.volume
        self.network = chosen.fit.networks[0]
        self.step = float(chosen.fit.step[0])
        self.quantised = chosen.fit.quantised
        self.own = bool(chosen.fit.own_weights[0])
        self._rates: tuple[Quantised, Any] | None = None

    def write(self) -> Payload | None:
        """The payload; None where the field cannot meet the target."""
        try:
            return self._search()
        except (PayloadError, OverflowError):
            return None  # latents beyond what exact arithmetic holds: a range no field is made for

    def _search(self) -> Payload | None:
        """Adjust the step until the decoder's own voxels meet the target, with little to spare."""
        target = self.settings.target
        if target.kind == "max_error" or self.volume is not None:
            return self._build(self.step, self.quantised)[0]
        # excess grows with the step for an error, and falls with it for a size: slopes in log-log
        slope, steepest, flattest = (1.4, 2.2, 0.5) if target.kind == "snr" else (-1.0, -1.5, -0.08)
        step, q = self.step, self.quantised
        if target.kind == "snr":
            step, q = self._near_budget(self.chunk.squared_error_budget(target) / self.chosen.scale**2)
        best: Payload | None = None
        closest = -np.inf
        at = float(np.log(step))
        base, home = q, at  # rates are those of these latents: excess is then a smooth function of the step
        ends: dict[bool, tuple[float, float]] = {}  # nearest step that meets the target, and that misses it
        before: tuple[float, float] | None = None
        for attempt in range(_ATTEMPTS):
            try:
                payload, error = self._build(float(np.exp(at)), q)
            except (PayloadError, OverflowError):
                if target.kind != "ratio" or ends:
                    raise
                at += _COARSER  # so fine a step that latents leave the format's range: far too many bytes
                base, home = self._fresh(float(np.exp(at))), at
                q = base
                continue
            excess = self._excess(payload, error)
            if closest < excess <= 0:
                best, closest = payload, excess
            if -_TOLERANCE < excess <= 0:
                break
            missed = excess > 0
            if missed not in ends or abs(excess) < abs(ends[missed][1]):
                ends[missed] = (at, excess)
            if before is not None and abs(at - before[0]) > 1e-6:
                measured = (excess - before[1]) / (at - before[0])
                slope = float(np.clip(measured, min(flattest, steepest), max(flattest, steepest)))
            before = (at, excess)
            if len(ends) == 2:
                (low, under), (high, over) = ends[False], ends[True]
                share = -(under + _TOLERANCE / 2) / (over - under) if attempt < _ATTEMPTS // 2 else 0.5
                at = low + (high - low) * float(np.clip(share, 0.1, 0.9))
            else:
                spare = _TOLERANCE / 2 if attempt < _ATTEMPTS // 2 else 0.05  # rather than miss it in the end
                at += float(np.clip(-(excess + spare) / slope, -2, 2))
            if abs(at - home) > _REACH:
                base, home, ends = self._fresh(float(np.exp(at))), at, {}
            q = self._quantise(float(np.exp(at)), base)
        return best

    def _excess(self, payload: Payload, error: float) -> float:
        """How far a payload is from its target, in natural logarithms; positive misses it."""
        target = self.settings.target
        if target.kind == "snr":
            return float(np.log(max(error, 1e-300) / self.chunk.squared_error_budget(target)))
        return float(np.log(len(payload.to_bytes()) * target.value / self.chunk.chunk.nbytes))

    def _near_budget(self, budget: float) -> tuple[float, Quantised]:
        """Step and latents whose error, by the encoder's float arithmetic, spends the budget."""
        step, q, base, home = self.step, self.quantised, self.quantised, self.step
        slope = 1.4
        before: tuple[float, float] | None = None
        for _ in range(6):
            excess = float(np.log(max(self.chosen.squared_error(q, step), 1e-300) / budget))
            if -_TOLERANCE < excess <= 0:
                break
            if before is not None and abs(np.log(step / before[0])) > 1e-6:
                slope = float(np.clip((excess - before[1]) / np.log(step / before[0]), 0.7, 2.2))
            before = (step, excess)
            step *= float(np.exp(np.clip(-(excess + _TOLERANCE / 2) / slope, -1, 1)))
            if abs(np.log(step / home)) > _REACH:
                base, home, before = self._fresh(step), step, None
            q = self._quantise(step, base)
        return step, q

    def _fresh(self, step: float) -> Quantised:
        """Latents at a step far from those at hand, whose rates would mislead."""
        fit, steps = self.chosen.fit, np.array([step])
        return fit.latents.rate_distortion(fit.latents.plain(steps), steps, fit.networks)

    def _quantise(self, step: float, base: Quantised) -> Quantised:
        """Latents at another step, at the rates of those at hand (asked of the network once)."""
        fit = self.chosen.fit
        if self._rates is None or self._rates[0] is not base:
            index = fit.latents.indices(base, fit.networks) if len(base.bands) else None
            self._rates = (base, index)
        return fit.latents.rate_distortion(base, np.array([step]), fit.networks, index=self._rates[1])

    def _build(self, step: float, q: Quantised) -> tuple[Payload, float]:
        """A payload at a step, and its squared error over all voxels of the chunk that are finite."""
        fit, steps = self.chosen.fit, np.array([step])
        offsets = fit.latents.offsets(q, steps)[0]
        envelope = q.envelope[0]
        active = envelope[fit.latents.layout.bin[q.bands]] > 0
        values = fit.latents.backend.to_numpy(q.values[:, 0])[active].astype(np.int32)
        section = FieldSection(
            step=step * self.chosen.scale if self.volume is None else self.volume.step,
            offset=self.chunk.offset,
            block=fit.latents.layout.block,
            network=CURRENT if self.volume is None else self.volume.prior,
            offsets=offsets,
            envelope=envelope,
            background=self.chunk.background,
            box=self.chunk.box,
            volume=self.volume,
        )
        target = self.settings.target
        payload = Payload(self.shape, self.chunk.chunk.dtype, Field.LOCAL_FOURIER)
        if self.volume is None:
            payload.target, payload.target_value = target.kind, target.value
        else:
            payload.scope = "volume"
        d, h, w = self.chunk.chunk.shape
        payload.sections[Section.FIELD] = section.to_bytes((d, h, w))
        if self.own:
            payload.sections[Section.WEIGHTS] = self.network.to_bytes(prior())
        if self.chosen.cell is not None:
            payload.sections[Section.OCCUPANCY] = self.chosen.mask
        payload.sections[Section.LATENTS] = encode_latents(
            values, section.layout, section.envelope, section.active, self.network
        )
        if self.chunk.special is not None:
            payload.sections[Section.VERBATIM] = verbatim.encode(self.chunk.chunk, self.chunk.special)
        if self.chosen.symmetric is not None:
            payload.sections[Section.SYMMETRY] = self.chosen.symmetric.section.to_bytes((d, h, w))
        if self.chosen.prediction is not None:
            payload.sections[Section.PREDICTION] = self.chosen.prediction.section
        decoded = self._reconstruct(payload, section, values)
        if target.kind == "max_error":
            decoded = self._correct(payload, section, values, decoded)
        return payload, self._squared_error(decoded)

    def _reconstruct(self, payload: Payload, section: FieldSection, values: Array) -> Array:
        """The voxels as the decoder will have them."""
        chosen = self.chosen
        predicted = None if chosen.prediction is None else chosen.prediction.latents
        return reconstruct(NUMPY, payload, section, values, symmetric=chosen.symmetric, predicted=predicted)

    def _difference(self, decoded: Array) -> Array:
        """Original minus decoded density, float64; 0 at special voxels and where a threshold drops them."""
        with np.errstate(invalid="ignore"):
            difference = self.chunk.chunk.astype(np.float64) - decoded.astype(np.float64)
        if self.chunk.special is not None:
            difference[self.chunk.special] = 0.0
        if self.chunk.threshold:
            kept = np.zeros(difference.shape, bool)
            kept[self.chunk.box] = self.chunk.represented
            difference[~kept] = 0.0
        return difference

    def _squared_error(self, decoded: Array) -> float:
        difference = self._difference(decoded).reshape(-1)
        return float(difference @ difference)

    def _correct(self, payload: Payload, section: FieldSection, values: Array, decoded: Array) -> Array:
        """Add what brings every voxel within the bound."""
        bound, dtype = self.settings.target.value, self.chunk.chunk.dtype
        inside = self._difference(decoded)[self.chunk.box]
        occupied = np.ones(inside.shape, bool) if self.chosen.occupied is None else self.chosen.occupied
        section_bytes = corrections.encode(
            inside, occupied, bound_before_cast(bound, dtype), whole=dtype.kind != "f"
        )
        if section_bytes is not None:
            payload.sections[Section.CORRECTIONS] = section_bytes
            decoded = self._reconstruct(payload, section, values)
        still = np.abs(self._difference(decoded)) > bound
        if still.any():
            kept = still if self.chunk.special is None else still | self.chunk.special
            payload.sections[Section.VERBATIM] = verbatim.encode(self.chunk.chunk, kept)
            decoded = np.where(kept, self.chunk.chunk, decoded)
        return decoded
