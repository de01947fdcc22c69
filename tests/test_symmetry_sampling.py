"""Sampling: one position or many in columns, a part of the field or all of it, give the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrcodec.core import PayloadError
from inrcodec.core.symmetry.sampling import Sampler, spans_needed
from inrcodec.core.symmetry.splines import POSITION_BITS

Array = np.ndarray[Any, Any]
ONE = 2**POSITION_BITS
ORIGIN = (-3, 5, 0)
SHAPE = (9, 30, 11)
FIELD = tuple((o, o + n) for o, n in zip(ORIGIN, SHAPE, strict=True))
ALL = (0, 1, 2)


def field_values(seed: int = 0) -> Array:
    return np.rint(np.random.default_rng(seed).normal(0, 2.0**18, SHAPE))


def sampler(axes: tuple[int, ...], seed: int = 0) -> Sampler:
    (z, y, x) = FIELD
    return Sampler(field_values(seed), ORIGIN, (z, y, x), axes)


def some_positions(count: int, axes: tuple[int, ...] = ALL, seed: int = 1, beyond: int = 2) -> list[Array]:
    """Positions around the field; whole ones along axes that are not interpolated."""
    rng = np.random.default_rng(seed)
    out = []
    for axis, (start, stop) in enumerate(FIELD):
        p = rng.integers((start - beyond) * ONE, (stop + beyond) * ONE, count)
        out.append(p if axis in axes else p // ONE * ONE)
    return out


def test_points_and_columns_agree() -> None:
    z, y, x = some_positions(300)
    columns = sampler(ALL).columns(z[:40], y, x)
    for i in range(40):
        np.testing.assert_array_equal(sampler(ALL).points(np.full_like(y, z[i]), y, x), columns[i])
    assert (columns != 0).mean() > 0.2
    assert (columns == 0).mean() > 0.2


@pytest.mark.parametrize("axes", [(), (1, 2), ALL], ids=str)
def test_columns_do_not_depend_on_how_they_are_asked_for(axes: tuple[int, ...]) -> None:
    """In any order and in any groups, also more than are sampled at once."""
    z, y, x = some_positions(9000, axes)
    z = z[:70]
    whole = sampler(axes).columns(z, y, x)
    assert whole.any()
    rng = np.random.default_rng(2)
    planes, columns = rng.permutation(len(z))[:11], rng.permutation(len(y))[:1000]
    part = sampler(axes).columns(z[planes], y[columns], x[columns])
    np.testing.assert_array_equal(part, whole[np.ix_(planes, columns)])


@pytest.mark.parametrize("axes", [(), ALL], ids=str)
def test_points_do_not_depend_on_how_they_are_asked_for(axes: tuple[int, ...]) -> None:
    positions = some_positions(9000, axes)
    whole = sampler(axes).points(*positions)
    some = np.random.default_rng(2).permutation(9000)[:777]
    np.testing.assert_array_equal(sampler(axes).points(*(p[some] for p in positions)), whole[some])


def test_voxels_are_given_as_they_are_without_interpolation() -> None:
    values = field_values()
    grid = np.indices(SHAPE).reshape(3, -1)
    z, y, x = ((g + o) * ONE for g, o in zip(grid, ORIGIN, strict=True))
    np.testing.assert_array_equal(sampler(()).points(z, y, x), values.ravel())
    planes = (np.arange(SHAPE[0]) + ORIGIN[0]) * ONE
    columns = np.indices(SHAPE[1:]).reshape(2, -1)
    y, x = ((g + o) * ONE for g, o in zip(columns, ORIGIN[1:], strict=True))
    found = sampler(()).columns(planes, y, x)
    np.testing.assert_array_equal(found, values.reshape(SHAPE[0], -1))


def test_planes_are_not_mixed_where_z_is_not_interpolated() -> None:
    _, y, x = some_positions(500, (1, 2), beyond=0)
    values = field_values()
    changed = values.copy()
    changed[4] += 1000
    (fz, fy, fx) = FIELD
    z = (np.arange(SHAPE[0]) + ORIGIN[0]) * ONE
    one, other = (Sampler(v, ORIGIN, (fz, fy, fx), (1, 2)).columns(z, y, x) for v in (values, changed))
    np.testing.assert_array_equal(np.delete(one, 4, axis=0), np.delete(other, 4, axis=0))
    covered = one[0] != 0
    assert np.abs(other[4] - one[4] - 1000)[covered].max() <= 4  # all filters keep constants but for rounding


def test_constants_stay() -> None:
    (z, y, x) = FIELD
    constant = Sampler(np.full(SHAPE, 12345.0), ORIGIN, (z, y, x), ALL)
    inside = [p[:200] for p in some_positions(2000, beyond=-1)]
    np.testing.assert_array_equal(constant.points(*inside), 12345.0)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("axes", [(), ALL], ids=str)
def test_coverage_ends_at_the_outermost_voxels(axis: int, axes: tuple[int, ...]) -> None:
    start, stop = FIELD[axis]
    middle = [np.full(4, (a + b) // 2 * ONE) for a, b in FIELD]
    unit = 1 if axes else ONE
    ends = np.array([start * ONE, (stop - 1) * ONE, start * ONE - unit, (stop - 1) * ONE + unit])
    middle[axis] = ends
    (z, y, x) = FIELD
    constant = Sampler(np.full(SHAPE, 7.0), ORIGIN, (z, y, x), axes)
    np.testing.assert_array_equal(constant.covered(axis, ends), [True, True, False, False])
    np.testing.assert_array_equal(constant.points(*middle), [7, 7, 0, 0])
    mid_z, mid_y, mid_x = middle
    found = constant.columns(mid_z, mid_y, mid_x)
    np.testing.assert_array_equal(np.diag(found), [7, 7, 0, 0])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(data=st.data(), axes=st.sampled_from([(), (1, 2), (0, 1, 2)]))
def test_a_part_of_the_field_is_enough(data: Any, axes: tuple[int, ...]) -> None:
    low, high = [], []
    for start, stop in FIELD:
        a = data.draw(st.integers((start - 3) * ONE, (stop + 2) * ONE))
        low.append(a)
        high.append(data.draw(st.integers(a, (stop + 3) * ONE)))
    rng = np.random.default_rng(0)
    positions = []
    for axis, (a, b) in enumerate(zip(low, high, strict=True)):
        p = rng.integers(a, b + 1, 60)
        positions.append(p if axis in axes else p // ONE * ONE)
    corners = np.array([[p.min(), p.max()] for p in positions])
    (fz, fy, fx) = FIELD
    spans = spans_needed(corners[:, 0], corners[:, 1], (fz, fy, fx), axes)
    whole = sampler(axes).columns(*positions)
    if spans is None:
        assert not whole.any()
        return
    for (start, stop), (first, last) in zip(spans, FIELD, strict=True):
        assert first <= start < stop <= last
    values = field_values()[tuple(slice(a - o, b - o) for (a, b), o in zip(spans, ORIGIN, strict=True))]
    origin = (spans[0][0], spans[1][0], spans[2][0])
    part = Sampler(values, origin, (fz, fy, fx), axes)
    np.testing.assert_array_equal(part.columns(*positions), whole)


def test_values_out_of_range() -> None:
    values = field_values()
    values[1, 2, 3] = 2.0**31
    (z, y, x) = FIELD
    with pytest.raises(PayloadError, match="out of the range"):
        Sampler(values, ORIGIN, (z, y, x), ())
