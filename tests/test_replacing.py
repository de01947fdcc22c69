"""Files that appear when they are complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from inrcodec.replacing import partial_path, replacing


def test_the_name_is_taken_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "map.inr"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == path.parent
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_all_is_as_before(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "map.inr"
    path.write_text("old")

    def write() -> None:
        with replacing(str(path)) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    names = {partial_path(tmp_path / "a").name for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith(".a.") for name in names)
