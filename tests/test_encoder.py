"""The encoder: every dtype, shape and kind of chunk meets its target on the decoded voxels."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import blobs
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inrcodec.core import Settings, Target, VolumeModel, decode_many, encode_many, inspect
from inrcodec.core.encoder import encoding_backend
from inrcodec.core.lossless import compress as lossless_compress
from inrcodec.core.presets import EFFORTS
from inrcodec.core.prior import prior

FLOATS = ["float16", "float32", "float64"]
INTEGERS = ["int8", "uint8", "int16", "uint16"]
SLACK = 1e-3  # dB: the encoder's sums and NumPy's need not agree further
SHAPES = [(700,), (40, 33), (17, 16, 15), (3, 9, 11, 10)]


def in_dtype(chunk: np.ndarray, dtype: str, order: str = "=") -> np.ndarray:
    """The chunk in a dtype, scaled to three quarters of the range of an integer one."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return chunk.astype(kind.newbyteorder(order))
    limits = np.iinfo(kind)
    unit = (chunk - chunk.min()) / np.ptp(chunk) * 0.75 + 0.1
    return np.rint(limits.min + unit * (limits.max - limits.min)).astype(kind.newbyteorder(order))


def represented(chunk: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """The voxels a target speaks of: finite, above the threshold, not the background of these tests, 0."""
    finite = np.isfinite(chunk)
    if threshold is not None:
        return finite & (chunk > threshold)
    zeros = np.count_nonzero(chunk == 0) >= 0.05 * chunk.size and chunk.dtype.kind == "f"
    return finite & (chunk != 0) if zeros else finite


def difference(chunk: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Of finite voxels, float64; 0 elsewhere."""
    finite = np.isfinite(chunk)
    wide = np.where(finite, chunk, 0).astype(float), np.where(finite, decoded, 0).astype(float)
    return wide[0] - wide[1]


def meets(chunk: np.ndarray, payload: bytes, settings: Settings) -> np.ndarray:
    """Check a payload against its target, voxel by voxel; returns the decoded chunk."""
    (decoded,) = decode_many([payload], volume=settings.volume)
    assert decoded.shape == chunk.shape
    assert decoded.dtype == chunk.dtype
    special = ~np.isfinite(chunk)
    assert decoded[special].tobytes() == chunk[special].tobytes()
    kept = represented(chunk, settings.threshold)
    if settings.threshold is not None:
        assert not decoded[~kept & ~special].any()
    error = difference(chunk, decoded)
    if settings.threshold is not None:
        error[~kept] = 0
    target = settings.target
    if target.kind == "max_error":
        assert np.abs(error).max() <= target.value
    elif target.kind == "ratio":
        assert len(payload) * target.value <= chunk.nbytes
    elif kept.any():
        variance = chunk[kept].astype(float).var() * np.count_nonzero(kept)
        assert (error**2).sum() <= variance / 10 ** ((target.value - SLACK) / 10)
    return decoded


def encode(chunk: np.ndarray, settings: Settings, device: str = "auto") -> bytes:
    (payload,) = encode_many([chunk], settings, device=device)
    return payload


def target_for(kind: str, chunk: np.ndarray) -> Target:
    deviation = float(chunk[np.isfinite(chunk)].astype(float).std())
    return Target(kind, {"snr": 25, "max_error": 0.15 * deviation, "ratio": 3}[kind])


@pytest.mark.parametrize("kind", ["snr", "max_error", "ratio"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_every_dtype_meets_every_target(dtype: str, order: str, kind: str) -> None:
    chunk = in_dtype(blobs((16, 15, 14), seed=1), dtype, order)
    settings = Settings(target_for(kind, chunk), effort=0)
    payload = encode(chunk, settings)
    meets(chunk, payload, settings)
    assert inspect(payload).field == "local-fourier"


@pytest.mark.parametrize("kind", ["snr", "max_error", "ratio"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_number_of_dimensions_meets_every_target(shape: tuple[int, ...], kind: str) -> None:
    chunk = blobs(shape, seed=2).astype(np.float32)
    settings = Settings(target_for(kind, chunk), effort=0)
    meets(chunk, encode(chunk, settings), settings)


@pytest.mark.parametrize("kind", ["snr", "max_error"])
@pytest.mark.parametrize(
    "shape",
    [
        *[(1,), (2,), (63,), (64,), (65,), (1, 1), (1, 97), (8, 8), (1, 1, 1), (2, 3, 1), (4, 4, 4)],
        *[(5, 3, 7), (1, 1, 200), (1, 40, 2), (31, 1, 5), (1, 2, 3, 4), (2, 1, 1, 64), (40, 1, 3, 3)],
    ],
    ids=str,
)
def test_tiny_and_flat_chunks(shape: tuple[int, ...], kind: str) -> None:
    chunk = np.random.default_rng(0).normal(size=shape).cumsum(axis=-1).astype(np.float32)
    settings = Settings(Target(kind, 20 if kind == "snr" else 0.1), effort=0)
    payload = encode(chunk, settings)
    meets(chunk, payload, settings)
    assert len(payload) <= chunk.nbytes + 80


@pytest.mark.parametrize("snr", [-20, 0, 10, 30, 60, 120, 200])
def test_snr_over_the_range(snr: float) -> None:
    chunk = blobs((14, 13, 12)).astype(np.float64)
    settings = Settings(Target("snr", snr), effort=0)
    meets(chunk, encode(chunk, settings), settings)


@pytest.mark.parametrize("bound", [1e-300, 1e-30, 1e-6, 1e-3, 0.1, 10, 1e30, 1e300])
def test_max_error_over_the_range(bound: float) -> None:
    chunk = blobs((14, 13, 12)).astype(np.float64)
    settings = Settings(Target("max_error", bound), effort=0)
    meets(chunk, encode(chunk, settings), settings)


@pytest.mark.parametrize("ratio", [1, 4, 30, 150])
def test_ratio_over_the_range(ratio: float) -> None:
    chunk = blobs((16, 16, 16)).astype(np.float32)
    settings = Settings(Target("ratio", ratio), effort=0)
    payload = encode(chunk, settings)
    meets(chunk, payload, settings)
    if 4 <= ratio <= 30:
        assert len(payload) * ratio > 0.8 * chunk.nbytes  # the bytes allowed are spent


@pytest.mark.parametrize("snr", [10, 20, 30, 40])
def test_no_more_than_the_snr_is_spent(snr: float) -> None:
    chunk = blobs((20, 20, 20)).astype(np.float32)
    decoded = meets(
        chunk, encode(chunk, Settings(Target("snr", snr), effort=0)), Settings(Target("snr", snr))
    )
    spent = 10 * np.log10(chunk.astype(float).var() / np.mean(difference(chunk, decoded) ** 2))
    assert spent < snr + 0.1


def test_a_ratio_out_of_reach_is_an_error() -> None:
    chunk = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    with pytest.raises(ValueError, match=r"ratio 500 cannot be reached .* \(8, 8, 8\) float32"):
        encode(chunk, Settings(Target("ratio", 500), effort=0))


def particle(size: int = 20) -> np.ndarray:
    """Density in a ball, exactly 0 outside."""
    grid = np.indices((size,) * 3) - (size - 1) / 2
    inside = (grid**2).sum(axis=0) < (0.42 * size) ** 2
    return np.where(inside, blobs((size,) * 3, 0.03) + 1, 0).astype(np.float32)


def soft_particle() -> np.ndarray:
    grid = np.indices((20, 20, 20)) - 9.5
    edge = np.clip((9 - np.sqrt((grid**2).sum(axis=0))) / 4, 0, 1)
    return (blobs((20, 20, 20), 0.03) * edge).astype(np.float32)


def spike() -> np.ndarray:
    chunk = blobs((12, 12, 12)).astype(np.float32)
    chunk[5, 6, 7] = 1e6
    return chunk


def lone_spike() -> np.ndarray:
    chunk = np.zeros((12, 12, 12), np.float32)
    chunk[5, 6, 7] = 3
    return chunk


def specials() -> np.ndarray:
    chunk = blobs((12, 12, 12)).astype(np.float32)
    chunk[3] = np.nan
    chunk[5, 5, :3] = np.inf, -np.inf, np.nan
    chunk.view(np.uint32)[6, 6, 6] = 0x7FC54321
    return chunk


def special_on_background() -> np.ndarray:
    chunk = particle()
    chunk[0, 0, 0], chunk[10, 10, 10] = np.nan, np.inf
    return chunk


def noise() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(12, 12, 12)).astype(np.float32)


def signs(dtype: str, value: float) -> np.ndarray:
    return (np.random.default_rng(2).choice([-1.0, 1.0, 0.5], (8, 9, 10)) * value).astype(dtype)


SMOOTH = blobs((12, 12, 12))
SMOOTH /= np.abs(SMOOTH).max()
CHUNKS = {
    "hard mask": particle(),
    "soft mask": soft_particle(),
    "hard mask on another level": particle() - np.float32(7.5),
    "spike in density": spike(),
    "lone spike": lone_spike(),
    "NaN and infinities": specials(),
    "NaN on a background": special_on_background(),
    "white noise": noise(),
    "white noise, float16": noise().astype(np.float16),
    "denormals, float64": SMOOTH * 5e-320,
    "denormals, float32": (SMOOTH * 1e-42).astype(np.float32),
    "denormals, float16": (SMOOTH * 3e-6).astype(np.float16),
    "huge, float64": SMOOTH * 1e300,
    "huge, float32": (SMOOTH * 3e38).astype(np.float32),
    "huge, float16": (SMOOTH * 60000).astype(np.float16),
    "both ends of float64": signs("float64", 1.7e308),
    "both ends of float32": signs("float32", 3.4e38),
    "both ends of float16": signs("float16", 65504),
    "both ends of int8": np.random.default_rng(3).choice([-128, 127], (9, 9, 9)).astype(np.int8),
    "all values of uint16": np.arange(65536, dtype=np.uint16).reshape(32, 32, 64)[::4],
    "offset 1e4": (SMOOTH + 1e4).astype(np.float32),
    "offset -1e4, float64": SMOOTH - 1e4,
    "two levels": (SMOOTH > 0.3).astype(np.float32),
    "steps": np.repeat(np.arange(12.0), 144).reshape(12, 12, 12),
    "signed zeros": np.where(noise() > 0, 0.0, -0.0).astype(np.float32),
}


@pytest.mark.parametrize("kind", ["snr", "max_error"])
@pytest.mark.parametrize("name", CHUNKS)
def test_every_kind_of_chunk(name: str, kind: str) -> None:
    chunk = CHUNKS[name]
    finite = chunk[np.isfinite(chunk)].astype(float)
    spread = float(np.abs(finite).max() / 2 - np.abs(finite).min() / 2) or 1.0
    settings = Settings(Target(kind, 25 if kind == "snr" else max(0.05 * spread, 1e-308)), effort=0)
    payload = encode(chunk, settings)
    assert len(payload) <= len(lossless_compress(chunk)) + 200
    if kind == "max_error" or not name.startswith(
        ("huge, float64", "both ends of float64")
    ):  # whose squares overflow NumPy's sums
        meets(chunk, payload, settings)


@pytest.mark.parametrize("value", [0.0, -1.5, np.nan, np.inf, 1e-320])
@pytest.mark.parametrize("dtype", [">f8", "<f4", "<f2"])
def test_constants_take_a_few_bytes(value: float, dtype: str) -> None:
    chunk = np.full((30, 20, 10), value).astype(dtype)
    payload = encode(chunk, Settings())
    assert len(payload) <= 40
    assert inspect(payload).field == "constant"
    assert decode_many([payload])[0].tobytes() == chunk.tobytes()


@examples(deadline=None, derandomize=True, max_examples=40)
@given(
    st.sampled_from([*FLOATS, ">f4", *INTEGERS]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9))
    ),
    st.sampled_from([Target("snr", 20), Target("max_error", 0.5)]),
)
def test_any_array(chunk: np.ndarray, target: Target) -> None:
    settings = Settings(target, effort=0)
    payload = encode(chunk, settings)
    (decoded,) = decode_many([payload])
    assert (decoded.shape, decoded.dtype) == (chunk.shape, chunk.dtype)
    special = ~np.isfinite(chunk)
    assert decoded[special].tobytes() == chunk[special].tobytes()
    if target.kind == "max_error":
        with np.errstate(over="ignore"):
            assert np.abs(difference(chunk, decoded)).max() <= 0.5


class TestThreshold:
    @pytest.mark.parametrize(
        "target", [Target("snr", 20), Target("max_error", 0.05), Target("ratio", 12)], ids=str
    )
    @pytest.mark.parametrize("dtype", ["float16", ">f4", "float64", "int8", "uint16"])
    def test_voxels_not_above_it_decode_to_0(self, dtype: str, target: Target) -> None:
        chunk = in_dtype(blobs((18, 17, 16)), dtype)
        threshold = float(np.quantile(chunk.astype(float), 0.8))
        if target.kind == "max_error":
            target = target_for("max_error", chunk)
        elif target.kind == "ratio":
            target = Target("ratio", 6 * chunk.dtype.itemsize / 4)
        settings = Settings(target, threshold=threshold, effort=0)
        decoded = meets(chunk, encode(chunk, settings), settings)
        assert decoded.any()

    @pytest.mark.parametrize(
        "chunk",
        [
            np.full((6, 6, 6), 0.5, np.float32),
            np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3),
            np.random.default_rng(0).uniform(0, 0.4, (8, 8, 8)),
            np.full((4, 4), 3, np.uint8),
            noise(),
        ],
        ids=["constant", "tiny", "nothing above", "constant, uint8", "noise"],
    )
    def test_where_no_field_is_fitted_too(self, chunk: np.ndarray) -> None:
        settings = Settings(Target("snr", 60), threshold=0.5, effort=0)
        meets(chunk, encode(chunk, settings), settings)

    def test_special_values_are_kept(self) -> None:
        chunk = specials()
        for threshold in (0.3, 1e9):
            settings = Settings(Target("snr", 20), threshold=threshold, effort=0)
            meets(chunk, encode(chunk, settings), settings)

    def test_negative_thresholds(self) -> None:
        chunk = blobs((16, 16, 16), 0.1).astype(np.float32) - np.float32(0.3)
        settings = Settings(Target("max_error", 0.05), threshold=-0.2, effort=0)
        meets(chunk, encode(chunk, settings), settings)


class TestMemory:
    def test_fortran_order_comes_back_in_fortran_order(self) -> None:
        for chunk in (blobs((12, 13, 14)), noise(), np.full((9, 9), 2.0), blobs((30, 31)), np.ones((2, 3))):
            ordered = np.asfortranarray(chunk.astype(np.float32))
            here, there = (encode(c, Settings(effort=0)) for c in (np.ascontiguousarray(ordered), ordered))
            first, second = decode_many([here, there])
            np.testing.assert_array_equal(first, second)
            assert first.flags.c_contiguous
            assert second.flags.f_contiguous
            assert not second.flags.c_contiguous
            assert len(here) == len(there)

    def test_fortran_order_under_a_threshold(self) -> None:
        chunk = np.asfortranarray(noise())
        settings = Settings(Target("snr", 80), threshold=0.5, effort=0)
        assert meets(chunk, encode(chunk, settings), settings).flags.f_contiguous

    @pytest.mark.parametrize(
        "view",
        [
            lambda c: c[::2, 1:, ::-1],
            lambda c: c.transpose(1, 0, 2),
            lambda c: c[:, :, 3],
            lambda c: c[..., None],
        ],
        ids=["strided", "transposed", "plane", "new axis"],
    )
    def test_views(self, view) -> None:
        chunk = view(blobs((18, 17, 16)).astype(np.float32))
        payload = encode(chunk, Settings(effort=0))
        assert payload == encode(np.ascontiguousarray(chunk), Settings(effort=0))
        meets(chunk, payload, Settings(effort=0))

    def test_read_only_chunks(self) -> None:
        chunk = blobs((10, 10, 10)).astype(np.float32)
        chunk.flags.writeable = False
        meets(chunk, encode(chunk, Settings(effort=0)), Settings(effort=0))

    def test_chunks_are_left_as_they_were(self) -> None:
        for chunk in (particle(), specials(), blobs((9, 9, 9)).astype(np.float16)):
            before = chunk.tobytes()
            for target in (Target("snr", 20), Target("max_error", 0.1)):
                encode(chunk, Settings(target, threshold=0.2, effort=0))
            assert chunk.tobytes() == before


class TestBatch:
    def test_different_shapes_and_kinds(self) -> None:
        chunks = [
            blobs((16, 16, 16)).astype(np.float32),
            np.zeros((4, 4), np.uint8),
            blobs((16, 16, 16), seed=1).astype(">f8"),
            particle(16),
            blobs((50,)).astype(np.float16),
            blobs((9, 30, 11)).astype(np.float32),
            specials(),
            in_dtype(blobs((16, 16, 16), seed=2), "int16"),
        ]
        settings = Settings(Target("snr", 22), effort=0)
        payloads = encode_many(chunks, settings)
        assert len(payloads) == len(chunks)
        for chunk, payload in zip(chunks, payloads, strict=True):
            meets(chunk, payload, settings)

    def test_nothing(self) -> None:
        assert encode_many([], Settings(effort=0)) == []

    @pytest.mark.needs_torch
    def test_training_together(self) -> None:
        chunks = [blobs((16, 16, 16), seed=seed).astype(np.float32) * 10.0**seed for seed in range(3)]
        settings = Settings(Target("snr", 25), effort=2)
        together = encode_many(chunks, settings, device="cpu")
        for chunk, payload in zip(chunks, together, strict=True):
            meets(chunk, payload, settings)
            assert len(payload) < 1.03 * len(encode(chunk, settings, "cpu"))


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint64", "int64", "complex64", "object", "S4"])
def test_unsupported_dtypes_are_named(dtype: str) -> None:
    good, bad = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), dtype)
    with pytest.raises(TypeError) as error:
        encode_many([good, bad], Settings(effort=0))
    assert str(bad.dtype) in str(error.value)


def test_no_payload_is_larger_than_the_lossless_one() -> None:
    ramp = np.arange(24.0, dtype=np.float32)
    levels = np.zeros((24, 24, 24), np.float32)
    levels[:12], levels[5:16, 3:9] = 1, 2
    chunks = [levels, levels + ramp**2 % 7, np.broadcast_to(ramp, (24, 24, 24)), noise(), particle()]
    chunks += [np.round(blobs((16, 16, 16)) * 4).astype(dtype) for dtype in ("float32", "int8")]
    for threshold in (None, 0.5):
        for snr in (10, 40):
            for chunk in chunks:
                payload = encode(chunk, Settings(Target("snr", snr), threshold=threshold, effort=0))
                kept = (
                    chunk if threshold is None else np.where(chunk > threshold, chunk, 0).astype(chunk.dtype)
                )
                assert len(payload) <= len(lossless_compress(kept)) + 40


def test_the_same_chunk_gives_the_same_bytes() -> None:
    chunk = particle()
    first, second = (encode(chunk, Settings(effort=0)) for _ in range(2))
    assert first == second


@pytest.mark.needs_torch
class TestTraining:
    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        chunk = blobs((16, 16, 16)).astype(np.float32)
        first, second = (encode(chunk, Settings(effort=3), "cpu") for _ in range(2))
        assert first == second

    def test_own_weights_only_where_they_save(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from golden.make import particle as usual
        from golden.make import stripes

        settings = Settings(Target("snr", 20), effort=3)
        sizes = {}
        for name, chunk in (("usual", usual((20, 20, 20))), ("stripes", stripes())):
            trained = encode(chunk, settings, "cpu")
            with monkeypatch.context() as patch:
                patch.setattr("inrcodec.core.fitting._cheaper_weights", without_own_weights)
                shared = encode(chunk, settings, "cpu")
            assert "weights" not in inspect(shared).sections
            sizes[name] = len(trained), len(shared), "weights" in inspect(trained).sections
        trained_size, shared_size, own = sizes["stripes"]
        assert own
        assert trained_size < 0.98 * shared_size
        trained_size, shared_size, own = sizes["usual"]
        assert trained_size <= shared_size * (1.005 if own else 1.0)

    @pytest.mark.parametrize("effort", range(10))
    def test_every_effort_meets_its_target(self, effort: int, monkeypatch: pytest.MonkeyPatch) -> None:
        train_at_most(50, monkeypatch)
        chunk = blobs((16, 16, 16), 0.02, seed=effort).astype(np.float32)
        targets = [Target("snr", 20), Target("max_error", 0.1)]
        for target in targets[: 2 if effort < 5 else 1]:
            settings = Settings(target, effort=effort)
            meets(chunk, encode(chunk, settings, "cpu"), settings)

    def test_effort_pays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from golden.make import particle as usual

        train_at_most(100, monkeypatch)
        chunk = usual((32, 32, 32), seed=21)
        sizes = {}
        for effort in (0, 3, 6):
            settings = Settings(Target("snr", 25), effort=effort)
            payload = encode(chunk, settings, "cpu")
            meets(chunk, payload, settings)
            sizes[effort] = len(payload)
        assert sizes[3] <= 1.02 * sizes[0]
        assert sizes[6] <= 1.02 * sizes[0]


def train_at_most(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer steps of training than the presets have, to save time."""
    fewer = tuple(replace(preset, steps=min(preset.steps, steps)) for preset in EFFORTS)
    monkeypatch.setattr("inrcodec.core.choosing.EFFORTS", fewer)


def without_own_weights(fit):
    """Stands in for the choice of weights: never any."""
    batch = fit.latents.batch
    return replace(fit, networks=[prior()] * batch, own_weights=np.zeros(batch, bool))


class TestWithoutTorch:
    def test_effort_0(self) -> None:
        code = """
import sys
sys.modules["torch"] = None  # importing it fails
import numpy as np
from inrcodec.core import Settings, Target, decode_many, decode_region, encode_many
grid = np.indices((16, 15, 14)) / 5
chunk = np.sin(grid).prod(axis=0).astype("f4")
for target in (Target("snr", 30), Target("max_error", 0.01), Target("ratio", 10)):
    payloads = encode_many([chunk, chunk[0]], Settings(target, effort=0))
    first, second = decode_many(payloads)
    assert np.abs(first - chunk).max() < 0.2
    assert (decode_region(payloads[0], (slice(2, 5),) * 3) == first[2:5, 2:5, 2:5]).all()
"""
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_effort_0_imports_none(self) -> None:
        code = """
import sys, numpy as np
from inrcodec.core import Settings, decode_many, encode_many
decode_many(encode_many([np.random.default_rng(0).normal(size=(9, 9, 9)).cumsum(axis=0)], Settings(effort=0)))
sys.exit("torch" in sys.modules)
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize("effort", [2, 3, 9])
    def test_efforts_that_train_say_what_is_missing(
        self, effort: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("inrcodec.core.encoder.has_torch", lambda: False)
        with pytest.raises(ImportError, match=rf"effort {effort} trains networks.*effort=0"):
            encode(particle(), Settings(effort=effort))

    def test_volume_scope_trains_nothing_on_write(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("inrcodec.core.encoder.has_torch", lambda: False)
        model = VolumeModel(0.1, 8, prior().to_bytes(prior()))
        assert encoding_backend(Settings(effort=9, volume=model), "numpy").device == "numpy"
