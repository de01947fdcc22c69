"""Options of maps from keywords and configuration files."""

from __future__ import annotations

import inspect

import pytest

from inrcodec import maps
from inrcodec.core import Target
from inrcodec.options import MapOptions


def test_defaults():
    assert MapOptions.from_mapping({}) == MapOptions()
    assert MapOptions().target == Target("snr", 30.0)


def test_text_is_read_as_numbers():
    text = {"fsc": "0.9", "resolution": "3", "chunks": "32", "effort": "0", "permissive": "yes"}
    assert MapOptions.from_mapping(text) == MapOptions(Target("fsc", 0.9), 3.0, 32, 0, permissive=True)


def test_what_is_none_is_not_given():
    assert MapOptions.from_mapping({"snr": None, "ratio": 8}).target == Target("ratio", 8.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quality": 3}, "unknown options: quality; known are chunks"),
        ({"snr": "loud"}, "snr must be a number, got 'loud'"),
        ({"chunks": 2.5}, "chunks must be an integer, got 2.5"),
        ({"chunks": "2.5"}, "chunks must be an integer, got '2.5'"),
        ({"effort": True}, "effort must be an integer, got True"),
        ({"permissive": "maybe"}, "permissive must be true or false, got 'maybe'"),
        ({"snr": 20, "ratio": 3}, "give one quality target"),
        ({"ratio": 0.5}, "ratio must be at least 1"),
        ({"symmetry": "C1"}, "'C1' is not a symmetry"),
        ({"symmetry": 7}, "symmetry must be a name, got 7"),
    ],
)
def test_bad_values(values, message):
    with pytest.raises(ValueError, match=message):
        MapOptions.from_mapping(values)


def test_compress_takes_them_and_has_the_same_defaults():
    parameters = inspect.signature(maps.compress).parameters
    for name, value in MapOptions().arguments().items():
        assert name in parameters
        assert name == "target" or parameters[name].default == value


def test_json_is_what_decides_the_result():
    options = MapOptions(Target("fsc", 0.9), 3.0, 32, 0, 0.5, "cpu", True)
    assert options.to_json() == {"fsc": 0.9, "chunks": 32, "effort": 0, "resolution": 3.0, "threshold": 0.5}


def test_symmetry_decides_the_result_and_old_records_stay_what_they_were():
    assert MapOptions().to_json() == {"snr": 30.0, "chunks": 64, "effort": 3}
    options = MapOptions.from_mapping({"symmetry": "helical:4.8,30,C2", "chunks": 64})
    assert options.to_json() == {"snr": 30.0, "chunks": 64, "effort": 3, "symmetry": "helical:4.8,30,C2"}
    assert MapOptions(symmetry=" Auto ").arguments()["symmetry"] == " Auto "
