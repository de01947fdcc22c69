"""A second decoder, written from ``docs/format.md`` alone: plain loops, Python integers, NumPy.

It shares no code with the package and has its own entropy decoder, so that the two decoders agree only where
the document says enough. It is slow, believes what it reads, and is meant for small chunks.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from decimal import Decimal, localcontext
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from reference_symmetry import Group, spline_coefficients, value_at

DTYPES = {1: "f2", 2: "f4", 3: "f8", 4: "i1", 5: "u1", 6: "i2", 7: "u2"}
CONSTANT, LOSSLESS, FIELD, WEIGHTS, LATENTS, OCCUPANCY, CORRECTIONS, VERBATIM = range(1, 9)
SYMMETRY, PREDICTION, LEVELS = 9, 10, 11
PI = 3.141592653589793
Shells = tuple[bytes, bytes]  # exponents by node, and their limits at the ends of axes
SHAPES = ((32, 16), (32,), (32, 32), (32,), (1, 32), (1,))


class Cursor:
    """Bytes read one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, form: str) -> tuple:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.unpack("B")
            value += (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def short(self) -> float:
        """The upper half of a double."""
        return struct.unpack("<d", bytes(4) + self.take(4))[0]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


# Entropy decoder


class Stack:
    """The ANS decoder: one Python integer as state."""

    def __init__(self, data: bytes) -> None:
        assert not data or data[-1]
        data += bytes(-len(data) % 4)
        self.words = list(struct.unpack(f"<{len(data) // 4}I", data))
        self.state = 0
        while self.words and self.state < 2**32:
            self.state = self.state << 32 | self.words.pop()

    def symbol(self, frequencies: tuple[int, ...]) -> int:
        quantile = self.state % 2**24
        symbol = start = 0
        while start + frequencies[symbol] <= quantile:
            start += frequencies[symbol]
            symbol += 1
        self.state = (self.state >> 24) * frequencies[symbol] + quantile - start
        if self.state < 2**32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return symbol

    def uniform(self, bits: int) -> int:
        width = 24 - bits
        quantile = self.state % 2**24
        self.state = (self.state >> 24 << width) + quantile % 2**width
        if self.state < 2**32 and self.words:
            self.state = self.state << 32 | self.words.pop()
        return quantile >> width

    def step(self, indices: list[int]) -> list[int]:
        """Values of one step, given the scale index of each."""
        order = sorted(range(len(indices)), key=indices.__getitem__)
        symbols = {i: self.symbol(laplace_table(indices[i])) for i in order}
        values = {i: symbols[i] - side(indices[i]) << low_bits(indices[i]) for i in order}
        for i in order:
            if low_bits(indices[i]):
                values[i] += self.uniform(low_bits(indices[i]))
        escaped = [i for i in order if symbols[i] == len(laplace_table(indices[i])) - 1]
        upper = [self.uniform(13) for _ in escaped]
        for i, high in zip(escaped, upper, strict=True):
            zigzag = high << 13 | self.uniform(13)
            values[i] = -(zigzag + 1) // 2 if zigzag % 2 else zigzag // 2
        return [values[i] for i in range(len(indices))]

    def finish(self) -> None:
        assert self.state == 0
        assert not self.words


def low_bits(index: int) -> int:
    return 0 if index < 68 else (index - 68) // 8 + 1


def side(index: int) -> int:
    return math.floor(12 * 2 ** ((index - 36) / 8)) + 3 if index < 68 else 192


@cache
def laplace_table(index: int) -> tuple[int, ...]:
    with localcontext(prec=60):
        if index < 68:
            scale, n = Decimal(2) ** (Decimal(index - 36) / 8), side(index)
            tail, decay = (Decimal("-0.6") / scale).exp() / 2, (-1 / scale).exp()
            arm = [max(1, math.floor(2**24 * tail * decay**j * (1 - decay))) for j in range(n)]
            escape = max(1, math.floor(2**24 * 2 * tail * decay**n))
            return (*arm[::-1], 2**24 - 2 * sum(arm) - escape, *arm, escape)
        decay = (-1 / Decimal(2) ** (3 + Decimal((index - 68) % 8) / 8)).exp()
        arm = [max(1, math.floor(2**24 * decay**j * (1 - decay) / 2)) for j in range(192)]
        escape = 2**24 - 2 * sum(arm)
        if escape < 1:
            arm[0] -= (2 - escape) // 2
            escape = 2**24 - 2 * sum(arm)
        return (*arm[::-1], *arm, escape)


def bit_table(code: int) -> tuple[int, int]:
    with localcontext(prec=60):
        one = math.floor(Decimal(2) ** (24 - Decimal(code) / 8))
    return 2**24 - one, one


@cache
def flag_table(logit: int) -> tuple[int, int]:
    with localcontext(prec=60):
        rarer = math.floor(2**24 / (1 + Decimal(2) ** (Decimal(abs(logit)) / 2)))
    return (2**24 - rarer, rarer) if logit < 0 else (rarer, 2**24 - rarer)


def integers(data: bytes, counts: list[int]) -> list[int]:
    stack = Stack(data[len(counts) :])
    values = [v for index, count in zip(data, counts, strict=False) for v in stack.step([index] * count)]
    stack.finish()
    return values


# Layout, basis, network


def split(length: int, block: int) -> list[int]:
    """Lengths of an axis's blocks; ``block`` is the nominal one, plus 64 times the kind of edges."""
    block = (block - 1) % 64 + 1
    count = max(1, (2 * length + block) // (2 * block))
    return [length // count + (1 if b < length % count else 0) for b in range(count)]


def cosq(x: float) -> float:
    s, t = x * x, 1.0
    for n in range(14, 0, -1):
        t = 1 - (t * s) / ((2 * n - 1) * 2 * n)
    return t


def cosr(m: int, d: int) -> float:
    r = m % (2 * d)
    r = min(r, 2 * d - r)
    return -cosq((d - r) * PI / d) if 2 * r > d else cosq(r * PI / d)


def window(half: int) -> list[tuple[float, float]]:
    """Sines and cosines of the fold angles, from the border inwards."""
    out = []
    for i in range(half):
        u = (i + 0.5) / half
        a = 0.5 * (PI / 4 * (1 + u) + PI / 4 * (1 + cosq(PI / 2 * (1 - u))))
        out.append((cosq(PI / 2 - a), cosq(a)))
    return out


def covariance_of_voxels(size: int, left: int, right: int, kind: int) -> list[list[float]]:
    """After folding."""
    q = 1 - {0: 8, 1: 13, 3: 5}[kind] / 64
    r, f = [1.0], q
    while r[-1] * f >= 2**-60:
        r.append(r[-1] * f)
        f = f * (q * q)
    r += [0.0] * 2 * size
    r[0] += 2**-11
    r[1] += 2**-13
    voxels = [(i, 1.0, i, 0.0) for i in range(size)]
    for i, (sine, cosine) in enumerate(window(left)):
        voxels[i] = i, sine, -1 - i, cosine
    for i, (sine, cosine) in enumerate(window(right)):
        voxels[size - 1 - i] = size - 1 - i, sine, size + i, -cosine
    return [
        [
            ((oi * oj) * r[abs(i - j)] + (oi * wj) * r[abs(i - pj)])
            + ((wi * oj) * r[abs(pi - j)] + (wi * wj) * r[abs(pi - pj)])
            for j, oj, pj, wj in voxels
        ]
        for i, oi, pi, wi in voxels
    ]


def product_sum(a: list[float], b: list[float]) -> float:
    """One by one: ``sum`` itself is more exact than the format in some versions of Python."""
    total = 0.0
    for x, y in zip(a, b, strict=True):
        total += x * y
    return total


def turned(a: list[float], b: list[float], g: float, h: float) -> tuple[list[float], list[float]]:
    pairs = list(zip(a, b, strict=True))
    return [g * x - h * y for x, y in pairs], [h * x + g * y for x, y in pairs]


def rotate(d: list[list[float]], f: list[list[float]]) -> None:
    """Three sweeps of rotations: of the covariance d and of the functions f."""
    size = len(d)
    m = size + size % 2
    for t in [*range(m - 1)] * 3:
        places = [0, *((j - 1 - t) % (m - 1) + 1 for j in range(1, m))]
        turns = []
        for p, q in (sorted((places[j], places[m - 1 - j])) for j in range(m // 2)):
            if q == size:
                continue
            c, tangent = d[p][q], 0.0
            if abs(c) > 1e-18:
                x = (d[q][q] - d[p][p]) / (2 * c)
                tangent = 1 / (abs(x) + math.sqrt(1 + x * x)) * (-1 if x < 0 else 1)
            g = 1 / math.sqrt(1 + tangent * tangent)
            turns.append((p, q, g, tangent * g))
        for p, q, g, h in turns:
            d[p], d[q] = turned(d[p], d[q], g, h)
        for row in d:
            for p, q, g, h in turns:
                row[p], row[q] = g * row[p] - h * row[q], h * row[p] + g * row[q]
        for p, q, g, h in turns:
            f[p], f[q] = turned(f[p], f[q], g, h)


@cache
def functions(size: int, left: int, right: int, kind: int) -> np.ndarray:
    """(voxels, frequencies) of a block with these overlaps, before those are unfolded."""
    if left and right:
        n, k = np.arange(size)[:, None], np.arange(size)
        return math.sqrt(2 / size) * np.cos(math.pi / size * (n + 0.5) * (k + 0.5))
    scale = math.sqrt(2 / size)
    if right:
        f = [[cosr((2 * n + 1) * (2 * k + 1), 4 * size) * scale for n in range(size)] for k in range(size)]
    else:
        f = [[cosr((2 * n + 1) * k, 2 * size) * scale for n in range(size)] for k in range(size)]
        f[0] = [math.sqrt(1 / size)] * size
    if kind == 2:
        return np.array(f).T
    voxels = covariance_of_voxels(size, left, right, kind)
    half = [[product_sum(row, function) for row in voxels] for function in f]
    rotate([[product_sum(function, column) for column in half] for function in f], f)
    return np.array(f).T


@cache
def basis(length: int, block: int) -> list[tuple[int, np.ndarray]]:
    """Per block: first sample reached, and the (samples, latents) integer table."""
    sizes = split(length, block)
    blocks, start = [], 0
    for b, size in enumerate(sizes):
        left = 0 if b == 0 else min(sizes[b - 1], size) // 2
        right = 0 if b == len(sizes) - 1 else min(sizes[b + 1], size) // 2
        phi = functions(size, left, right, (block - 1) // 64)
        rows = np.zeros((left + size + right, size))
        rows[left : left + size] = phi
        for i, (sine, cosine) in enumerate(window(left)):
            rows[left + i] = sine * phi[i]
            rows[left - 1 - i] = cosine * phi[i]
        for i, (sine, cosine) in enumerate(window(right)):
            rows[left + size - 1 - i] = sine * phi[size - 1 - i]
            rows[left + size + i] = -cosine * phi[size - 1 - i]
        blocks.append((start - left, np.rint(rows * 2**20)))
        start += size
    return blocks


def synthesise(latents: np.ndarray, shape: tuple[int, ...], block: int) -> np.ndarray:
    """(kz, ky, kx, bz, by, bx) whole numbers -> (d, h, w) whole numbers."""
    volume = latents.transpose(3, 0, 4, 1, 5, 2)
    for axis in (2, 1, 0):
        moved = np.moveaxis(volume, (2 * axis, 2 * axis + 1), (0, 1))
        out = np.zeros((shape[axis], *moved.shape[2:]))
        for b, (low, table) in enumerate(basis(shape[axis], block)):
            out[low : low + len(table)] += np.tensordot(table, moved[b, : table.shape[1]], 1)
        if axis:
            out = np.rint(out / 2**20)
        volume = np.moveaxis(out, 0, 2 * axis)
    return volume


def analyse(voxels: np.ndarray, block: int) -> np.ndarray:
    """(d, h, w) whole numbers -> (kz, ky, kx, bz, by, bx) whole numbers."""
    shape = voxels.shape
    values = voxels.astype(float)
    for axis in (2, 1, 0):
        assert np.abs(values).max() < 2**29
        blocks = basis(shape[axis], block)
        out = np.zeros(
            (max(table.shape[1] for _, table in blocks), len(blocks), *np.delete(values.shape, axis))
        )
        moved = np.moveaxis(values, axis, 0)
        for b, (low, table) in enumerate(blocks):
            out[: table.shape[1], b] = np.tensordot(table.T, moved[low : low + len(table)], 1)
        # latents and blocks of this axis go where its voxels were
        values = np.moveaxis(out.reshape(-1, *out.shape[2:]), 0, axis)
        values = np.rint(values / 2**20)
    assert np.abs(values).max() < 2**29
    sizes = [(max(split(n, block)), len(split(n, block))) for n in shape]
    return values.reshape([n for pair in sizes for n in pair]).transpose(0, 2, 4, 1, 3, 5)


def predict(
    data: bytes, latents: Latents, box: list[tuple[int, int]], block: int, references: dict[int, np.ndarray]
) -> np.ndarray:
    """What other maps say of the latents, (kz, ky, kx, bz, by, bx) whole numbers."""
    cursor = Cursor(data)
    (count,) = cursor.unpack("B")
    entries = [(cursor.unpack("B")[0], cursor.short(), cursor.short()) for _ in range(count)]
    cursor.varint()
    index, code = cursor.unpack("2B")
    stack = Stack(cursor.rest())
    moves = stack.step([index] * (29 * count))
    blocks = latents.even + latents.odd
    skipped = [b for b in blocks if stack.symbol(bit_table(code))] if code else []
    stack.finish()
    total = np.zeros(latents.values.shape)
    for i, (distance, offset, scale) in enumerate(entries):
        weights = np.cumsum(moves[29 * i : 29 * i + 29])
        density = references[distance][tuple(slice(start, start + size) for start, size in box)]
        known = np.isfinite(density.astype(float))
        whole = np.rint((np.where(known, density, 0).astype(float) - offset) * scale) * known
        found = analyse(whole, block)
        for k in product(*(range(n) for n in latents.size)):
            n, f = divmod(int(512 * latents.radius(k)), 32)
            total[k] += (weights[n] * (32 - f) + weights[n + 1] * f) * found[k]
    for b in skipped:
        total[(slice(None),) * 3 + b] = 0
    return np.rint(total / 2**15)


# Symmetry


def symmetric_part(
    data: bytes,
    shape: tuple[int, ...],
    box: list[tuple[int, int]],
    block: int,
    shells: Shells | None,
    parameters: list[np.ndarray],
) -> np.ndarray:
    """What the asymmetric unit adds to the voxels of the field's box, in units of synthesis."""
    cursor = Cursor(data)
    group = Group(cursor, shape)
    offsets = cursor.unpack("3b")
    envelope = spectral_envelope(cursor)
    spans = []
    for _ in range(3):
        coded, length = cursor.varint(), cursor.varint()
        spans.append((-(coded + 1) // 2 if coded % 2 else coded // 2, length))
    lengths = tuple(length for _, length in spans)
    latents = Latents(lengths, block, envelope, shells)
    moved = dequantise(latents, latents.decode(cursor.rest(), parameters), offsets)
    values = np.rint(synthesise(moved, lengths, block) / 2**16)
    assert np.abs(values).max() < 2**31
    for axis in range(3):
        if group.interpolated[axis]:
            values = spline_coefficients(values, axis)
    out = np.zeros([length for _, length in box])
    for at in product(*(range(length) for _, length in box)):
        image = group.image(tuple(a + start for a, (start, _) in zip(at, box, strict=True)))
        if image is None:
            continue
        place = [p - 1024 * start for p, (start, _) in zip(image, spans, strict=True)]
        if all(0 <= p <= 1024 * (length - 1) for p, length in zip(place, lengths, strict=True)):
            out[at] = value_at(values, place, group.interpolated) * 2**16
    return out


LOG_MAGNITUDE = [round(8 * math.log2((0.1 + q) / 0.1)) for q in range(256)]


def scale_index(parameters: list[np.ndarray], features: np.ndarray) -> list[int]:
    """(16, n) integers -> n scale indices."""
    w1, b1, w2, b2, w3, b3 = parameters
    hidden = np.clip(np.rint((w1 @ features + b1[:, None]) / 2**5), 0, 255).astype(np.int64)
    hidden = np.clip(np.rint((w2 @ hidden + b2[:, None]) / 2**6), 0, 255).astype(np.int64)
    return [int(i) for i in np.clip(np.rint((w3 @ hidden + b3[:, None]) / 2**7), 0, 159)[0]]


class Latents:
    """The latents of a field, decoded in their order."""

    def __init__(
        self, shape: tuple[int, ...], block: int, envelope: list[int], shells: Shells | None = None
    ) -> None:
        self.shells = shells
        self.grid = tuple(len(split(n, block)) for n in shape)
        self.size = tuple(max(split(n, block)) for n in shape)
        self.envelope = envelope
        padded = tuple(k + 3 for k in self.size)  # two below frequency 0, one above the last
        self.values = np.zeros(self.size + self.grid, np.int64)
        self.logs = np.zeros(padded + self.grid, np.int64)
        self.near = np.zeros(padded + self.grid, np.int64)
        blocks = list(product(*(range(n) for n in self.grid)))
        self.even = [b for b in blocks if sum(b) % 2 == 0]
        self.odd = [b for b in blocks if sum(b) % 2 == 1]

    def bin(self, k: tuple[int, ...]) -> int:
        return int(self.radius(k) * (32 / 1.75))

    def radius(self, k: tuple[int, ...]) -> float:
        z, y, x = (a / n for a, n in zip(k, self.size, strict=True))
        return math.sqrt(z * z + y * y + x * x)

    def multiplier(self, k: tuple[int, ...], ends: int = 0) -> int:
        nodes, limits = self.shells or (b"", b"")
        position = int(512 * self.radius(k))
        node, part = divmod(position, 8)
        if node + 1 >= len(nodes):
            return 0
        exponent = nodes[node] * (8 - part) + nodes[node + 1] * part
        if limits and ends:
            row = limits[(ends - 1) * len(limits) // 3 :]
            node, part = divmod(position, 64)
            exponent = min(exponent, (row[node] * (64 - part) + row[node + 1] * part) // 8)
        octave, rest = divmod(exponent, 128)
        with localcontext(prec=60):
            return round(2**16 * Decimal(2) ** (Decimal(rest) / 128)) * 2**octave

    def active(self, k: tuple[int, ...]) -> bool:
        return self.envelope[self.bin(k)] > 0 and (self.shells is None or self.multiplier(k) > 0)

    def constants(self, k: tuple[int, ...]) -> list[int]:
        return [
            *(64 * a // n for a, n in zip(k, self.size, strict=True)),
            int(self.radius(k) * 64),
            round(8 * math.log2(math.prod(self.size))),
            8 * self.grid.count(1),
            16,
        ]

    def neighbour_mean(self, k: tuple[int, ...], block: tuple[int, ...]) -> int:
        z, y, x = k
        found = []
        for axis, step in product(range(3), (-1, 1)):
            other = list(block)
            other[axis] += step
            if 0 <= other[axis] < self.grid[axis]:
                found.append(int(self.logs[(z + 2, y + 2, x + 2, *other)]))
        return sum(found) * (256 // len(found)) >> 8 if found else 0

    def features(self, k: tuple[int, ...], block: tuple[int, ...], odd: bool) -> list[int]:
        z, y, x = k

        def log(dz: int, dy: int, dx: int) -> int:
            return int(self.logs[(z + 2 - dz, y + 2 - dy, x + 2 - dx, *block)])

        def near(dz: int, dy: int, dx: int) -> int:
            return int(self.near[(z + 2 - dz, y + 2 - dy, x + 2 - dx, *block)])

        second = log(2, 0, 0) + log(0, 2, 0) + log(0, 0, 2) + log(1, 1, 0) + log(1, 0, 1) + log(0, 1, 1)
        return [
            log(1, 0, 0),
            log(0, 1, 0),
            log(0, 0, 1),
            second >> 2,
            near(1, 0, 0) + near(0, 1, 0) + near(0, 0, 1),
            self.neighbour_mean(k, block) if odd else 0,
            32 if odd else 0,
            self.envelope[self.bin(k)],
            *self.constants(k),
            sum(log(*d) for d in product((-1, 0, 1, 2), repeat=3) if sum(d) == 1 and d.count(-1) == 1) >> 3,
        ]

    def decode(self, data: bytes, parameters: list[np.ndarray]) -> np.ndarray:
        stack = Stack(data)
        bands = [k for k in product(*(range(n) for n in self.size)) if self.active(k)]
        for shell in sorted({sum(k) for k in bands}):
            members = [k for k in bands if sum(k) == shell]
            for blocks in (self.even, self.odd):
                where = list(product(members, blocks))
                if not where:
                    continue
                features = [self.features(k, block, blocks is self.odd) for k, block in where]
                values = stack.step(scale_index(parameters, np.array(features).T))
                for (k, block), value in zip(where, values, strict=True):
                    self.values[k + block] = value
                    self.logs[(k[0] + 2, k[1] + 2, k[2] + 2, *block)] = LOG_MAGNITUDE[min(abs(value), 255)]
            for k, block in product(members, self.even + self.odd):
                self.near[(k[0] + 2, k[1] + 2, k[2] + 2, *block)] = self.neighbour_mean(k, block)
        stack.finish()
        return self.values


# Side sections


def occupied_voxels(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    cursor = Cursor(data)
    cell = cursor.varint()
    stack = Stack(cursor.rest())
    tables = []
    for default in (default_first(), default_second()):
        changed = []
        if stack.symbol(flag_table(0)):
            changed = [context for context in range(len(default)) if stack.symbol(flag_table(-3))]
        for context, change in zip(changed, stack.step([52] * len(changed)), strict=True):
            default[context] += change
        tables.append(default)
    cells = np.zeros([math.ceil(n / cell) for n in shape], int)
    cells[0, 0, 0] = stack.symbol(flag_table(0))
    stride = 1
    while stride < max(cells.shape):
        stride *= 2
    while stride > 1:
        for axis in range(3):
            plane_of_cells(cells, axis, stride, tables, stack)
        stride //= 2
    stack.finish()
    z, y, x = (np.arange(n) // cell for n in shape)
    return cells[np.ix_(z, y, x)] == 1


def plane_of_cells(cells: np.ndarray, axis: int, stride: int, tables: list[list[int]], stack: Stack) -> None:
    """The cells half a stride beyond known ones along an axis."""
    steps = [stride // 2 if a < axis else stride for a in range(3)]
    starts = [0, 0, 0]
    starts[axis] = stride // 2
    ranges = [range(a, n, s) for a, n, s in zip(starts, cells.shape, steps, strict=True)]
    i, j = (a for a in range(3) if a != axis)
    last = (cells.shape[axis] - 1) // stride * stride

    def known(at: tuple[int, ...], far: int, di: int = 0, dj: int = 0) -> int:
        """A cell of a known plane, the nearest one where there is none."""
        other = list(at)
        other[axis] = min(max(at[axis] + far * stride // 2, 0), last)
        for a, d in ((i, di), (j, dj)):
            moved = at[a] + d * steps[a]
            other[a] = moved if moved in ranges[a] else at[a]
        return int(cells[tuple(other)])

    def near(at: tuple[int, ...]) -> int:
        total = 0
        for a, d in product((i, j), (-1, 1)):
            other = list(at)
            other[a] += d * steps[a]
            total += int(cells[tuple(other)]) if other[a] in ranges[a] else 0
        return total

    for colour in range(2):
        order = [range(len(r)) for r in (ranges[axis], ranges[i], ranges[j])]
        contexts = {}
        for n, u, v in product(*order):
            if (u + v) % 2 != colour:
                continue
            where = [0, 0, 0]
            where[axis], where[i], where[j] = ranges[axis][n], ranges[i][u], ranges[j][v]
            at = tuple(where)
            both = known(at, -1) + known(at, 1)
            beside = sum(known(at, f, *d) for f in (-1, 1) for d in ((1, 0), (-1, 0), (0, 1), (0, -1)))
            corners = sum(known(at, f, *d) for f in (-1, 1) for d in ((1, 1), (-1, 1), (1, -1), (-1, -1)))
            if colour == 0:
                beyond = known(at, -3) + known(at, 3)
                contexts[at] = (both * 13 + (2 * beside + corners) // 2) * 3 + beyond
            else:
                contexts[at] = (both * 5 + near(at)) * 9 + beside
        for at in sorted(contexts, key=contexts.__getitem__):
            cells[at] = stack.symbol(flag_table(tables[colour][contexts[at]]))


def default_first() -> list[int]:
    table = []
    for both, around, beyond in product(range(3), range(13), range(3)):
        value = (8 * around // 5 - 20, around - 5, 4 * around // 3 + 1)[both]
        special = {(0, 0, 0): -32, (2, 12, 2): 28}
        table.append(special.get((both, around, beyond), value))
    return table


def default_second() -> list[int]:
    table = []
    for both, near, beside in product(range(3), range(5), range(9)):
        if both == near == beside == 0:
            table.append(-32)
        elif both == 0:
            table.append(5 * beside // 2 + 3 * near - 26)
        elif both == 1:
            table.append(3 * beside // 2 + 5 * near - 14)
        else:
            table.append(3 * beside // 2 + 9 * near // 2 - 6)
    return table


def corrections(data: bytes, occupied: np.ndarray) -> list[float]:
    step, code = struct.unpack_from("<dB", data)
    count = int(occupied.sum())
    if code == 0:
        return dense_corrections(data[9:], step, [tuple(at) for at in np.argwhere(occupied).tolist()])
    stack = Stack(data[9:])
    missed = [stack.symbol(bit_table(code)) for _ in range(count)]
    signs = [-1 if stack.uniform(1) else 1 for _ in range(sum(missed))]
    sizes = [1 + value for value in stack.step([8] * sum(missed))]
    stack.finish()
    mended = iter([sign * size * step for sign, size in zip(signs, sizes, strict=True)])
    return [next(mended) if m else 0.0 for m in missed]


def dense_corrections(data: bytes, step: float, voxels: list[tuple[int, ...]]) -> list[float]:
    side, code, index = data[:3]
    stack = Stack(data[3:])
    cells = [tuple(n >> side for n in at) for at in voxels]
    codes = {}
    order = sorted(set(cells))
    for cell, move in zip(order, stack.step([index] * len(order)), strict=True):
        code += move
        codes[cell] = code
    multiples = stack.step([2 * codes[cell] for cell in cells])
    stack.finish()
    return [multiple * step for multiple in multiples]


def restore_verbatim(data: bytes, chunk: np.ndarray) -> None:
    cursor = Cursor(data)
    count = cursor.varint()
    raw = zlib.decompress(cursor.rest())
    values = np.frombuffer(raw[4 * count :], chunk.dtype)
    position = 0
    for i in range(count):
        position += struct.unpack_from("<I", raw, 4 * i)[0]
        chunk.reshape(-1)[position] = values[i]


# The whole


def weights(data: bytes | None, prior: int, priors: Path) -> list[np.ndarray]:
    flat = np.load(priors / f"prior-{prior}.npy").astype(np.int64)
    counts = [math.prod(shape) for shape in SHAPES]
    if data is not None:
        flat = flat + integers(data, counts)
    parts = np.split(flat, np.cumsum(counts)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def cast(density: np.ndarray, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "f":
        top = float(np.finfo(dtype).max)
        return (np.clip(density, -top, top) if dtype.itemsize < 8 else density).astype(dtype)
    return np.clip(np.rint(density), np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


def spectral_envelope(cursor: Cursor) -> list[int]:
    (used,) = cursor.unpack("B")
    nibbles: list[int] = []

    def nibble() -> int:
        if not nibbles:
            (byte,) = cursor.unpack("B")
            nibbles.extend((byte >> 4, byte & 15))
        return nibbles.pop(0)

    entries, last = [0] * 32, 48
    for i in range(used):
        code = nibble()
        if code:
            last = 16 * nibble() + nibble() if code == 15 else last + code - 8
            entries[i] = last
    return entries


def dequantise(latents: Latents, quantised: np.ndarray, offsets: tuple[int, ...]) -> np.ndarray:
    """Whole numbers of 1/64 step, scaled where there are shells."""
    shifts = np.array([0, *offsets])[np.minimum(np.abs(quantised), 3)]
    moved = np.sign(quantised) * (64 * np.abs(quantised) + shifts)
    if latents.shells is not None:
        for b in product(*(range(n) for n in latents.grid)):
            ends = sum(i in (0, n - 1) for i, n in zip(b, latents.grid, strict=True))
            for k in product(*(range(n) for n in latents.size)):
                moved[k + b] = np.rint(moved[k + b] * latents.multiplier(k, ends) / 2**16)
    return moved


def decode_field(
    sections: dict[int, bytes],
    shape: tuple[int, ...],
    dtype: np.dtype,
    volume: dict | None,
    priors: Path,
    references: dict[int, np.ndarray],
) -> np.ndarray:
    cursor = Cursor(sections[FIELD])
    (flags,) = cursor.unpack("B")
    shells = None
    if volume is None:
        (edges_and_length,), step, network = cursor.unpack("B"), cursor.short(), cursor.varint()
        parameters = weights(sections.get(WEIGHTS), network, priors)
    else:
        step, network = volume["step"], volume["prior"]
        edges_and_length = 64 * volume.get("edges", 0) + volume["block"] - 1
        data = base64.b64decode(volume.get("weights", ""))
        digest = zlib.crc32(struct.pack("<dB", step, edges_and_length) + data, network)
        if "shells" in volume:
            shells = tuple(base64.b64decode(volume.get(key, "")) for key in ("shells", "shell_ends"))
            digest = zlib.crc32(b"".join(shells), digest)
        assert cursor.unpack("I") == (digest,)
        parameters = weights(data or None, network, priors)
    block = edges_and_length + 1
    offsets = cursor.unpack("3b")
    envelope = spectral_envelope(cursor)
    background = (lambda: 0.0, lambda: 0.0, cursor.short, lambda: cursor.unpack("d")[0])[flags & 3]()
    offset = cursor.short() if flags & 4 else background
    box = [(0, n) for n in shape]
    if flags & 8:
        box = [(cursor.varint(), cursor.varint()) for _ in range(3)]
    inner = tuple(size for _, size in box)
    latents = Latents(inner, block, envelope, shells)
    quantised = latents.decode(sections[LATENTS], parameters)
    moved = dequantise(latents, quantised, offsets)
    if PREDICTION in sections:
        moved = moved + predict(sections[PREDICTION], latents, box, block, references)
    units = synthesise(moved, inner, block)
    if SYMMETRY in sections:
        units = units + symmetric_part(sections[SYMMETRY], shape, box, block, shells, parameters)
    density = units * (step * 2.0**-26) + offset
    occupied = np.ones(inner, bool)
    if OCCUPANCY in sections:
        occupied = occupied_voxels(sections[OCCUPANCY], inner)
    if CORRECTIONS in sections:
        density[occupied] += corrections(sections[CORRECTIONS], occupied)
    if LEVELS in sections:
        spacing, first = struct.unpack("<2d", sections[LEVELS])
        density = np.rint(density) * spacing + first
        background = round(background) * spacing + first
    chunk = np.full(shape, background, dtype)
    target = chunk[tuple(slice(start, start + size) for start, size in box)]
    target[occupied] = cast(density, dtype)[occupied]
    if VERBATIM in sections:
        restore_verbatim(sections[VERBATIM], chunk)
    return chunk


def decode(
    payload: bytes,
    priors: Path,
    volume: dict | None = None,
    references: dict[int, np.ndarray] | None = None,
) -> np.ndarray:
    """Decode one payload.

    Args:
        payload: the bytes.
        priors: folder of the prior's weight files.
        volume: the codec's configuration of the volume, for payloads of volume scope.
        references: decoded chunks that it is predicted from, by their distance.
    """
    cursor = Cursor(payload[:-4])
    assert struct.unpack("<I", payload[-4:])[0] == zlib.crc32(payload[:-4])
    magic, version, field, code, axes = cursor.unpack("3s4B")
    assert magic == b"INR"
    assert version == 5
    dtype = np.dtype((">" if code & 128 else "<") + DTYPES[code & 63])
    if axes & 15:
        cursor.unpack("d")
    shape = tuple(cursor.varint() for _ in range(axes >> 4))
    (mask,) = cursor.unpack("H" if field & 64 else "B")
    field -= field & 64
    numbers = [n for n in range(1, 17) if mask >> (n - 1) & 1]
    lengths = [cursor.varint() for _ in numbers[:-1]]
    sections = {number: cursor.take(length) for number, length in zip(numbers, lengths, strict=False)}
    sections[numbers[-1]] = cursor.rest()
    if field & 127 == 0:
        chunk = np.full(math.prod(shape), np.frombuffer(sections[CONSTANT], dtype)[0], dtype)
    elif field & 127 == 1:
        from numcodecs.blosc import Blosc

        chunk = np.frombuffer(Blosc().decode(sections[LOSSLESS]), dtype)
    else:
        seen = (1,) * (3 - len(shape)) + shape
        if len(shape) == 4:
            seen = (shape[0] * shape[1], *shape[2:])
        given = {distance: other.reshape(seen) for distance, other in (references or {}).items()}
        chunk = decode_field(sections, seen, dtype, volume if field & 128 else None, priors, given)
    return np.array(chunk.reshape(shape), order="F" if code & 64 else "C")
