"""The filter as HDF5 calls it: callbacks in Python, registered with the HDF5 library that h5py brings along.

HDF5 calls ``set_local`` when a dataset is created and the filter once for each chunk. Neither may let an
exception out: it becomes a text on HDF5's stack of errors, from which h5py makes its exception.

Encoding never fails: HDF5 2.0 crashes after a file whose chunks could not be written at its close. A chunk
that cannot be encoded is stored losslessly, and a warning says why.
"""

from __future__ import annotations

import _thread
import ctypes
import gc
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import h5py
import numpy as np

from inrcodec.config import check_chunk
from inrcodec.core import decode_many, encode_many, inspect
from inrcodec.core.encoder import encode_lossless, encoding_backend
from inrcodec.hdf5_client_data import FILTER_ID, ClientData, check_payload, find, parse

_NAME = b"inrcodec: implicit neural representations"
_REVERSE = 0x100  # H5Z_FLAG_REVERSE: decode
_MANDATORY = 0  # H5Z_FLAG_MANDATORY: a chunk that cannot be encoded is an error, not stored as it is
_MOST_AXES = 32  # H5S_MAX_RANK
_COPYING = ContextVar("inrcodec_hdf5_copying", default=False)
_AGAIN = 0.05  # seconds until an interrupt that came in a callback is raised again

_hid = ctypes.c_int64
_Words = ctypes.POINTER(ctypes.c_uint)
_FILTER = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.c_uint,
    ctypes.c_size_t,
    _Words,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t),
    ctypes.POINTER(ctypes.c_void_p),
)
_SET_LOCAL = ctypes.CFUNCTYPE(ctypes.c_int, _hid, _hid, _hid)


class _FilterClass(ctypes.Structure):
    """``H5Z_class2_t`` of H5Zpublic.h."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("id", ctypes.c_int),
        ("encoder_present", ctypes.c_uint),
        ("decoder_present", ctypes.c_uint),
        ("name", ctypes.c_char_p),
        ("can_apply", ctypes.c_void_p),
        ("set_local", _SET_LOCAL),
        ("filter", _FILTER),
    )


@cache
def _library() -> ctypes.CDLL:
    """HDF5 itself, the copy that h5py is linked to."""
    lib = ctypes.CDLL(h5py.h5z.__file__)
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    signatures = {
        "H5allocate_memory": (pointer, [size, ctypes.c_bool]),
        "H5free_memory": (ctypes.c_int, [pointer]),
        "H5Epush2": (
            ctypes.c_int,
            [_hid, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint, _hid, _hid, _hid, ctypes.c_char_p],
        ),
        "H5Ecreate_stack": (_hid, []),
        "H5Eset_current_stack": (ctypes.c_int, [_hid]),
        "H5Tencode": (ctypes.c_int, [_hid, pointer, ctypes.POINTER(size)]),
        "H5Tequal": (ctypes.c_int, [_hid, _hid]),
        "H5Pget_nfilters": (ctypes.c_int, [_hid]),
        "H5Pget_chunk": (ctypes.c_int, [_hid, ctypes.c_int, ctypes.POINTER(ctypes.c_uint64)]),
        "H5Pget_filter2": (
            ctypes.c_int,
            [_hid, ctypes.c_uint, pointer, ctypes.POINTER(size), pointer, size, pointer, pointer],
        ),
        "H5Pmodify_filter": (ctypes.c_int, [_hid, ctypes.c_int, ctypes.c_uint, size, _Words]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    # HDF5 1.12 gave the function a second version; the first is the one that every release has
    encode = lib.H5Pencode1 if hasattr(lib, "H5Pencode1") else lib.H5Pencode
    encode.restype, encode.argtypes = ctypes.c_int, [_hid, pointer, ctypes.POINTER(size)]
    return lib


def _text(error: BaseException) -> str:
    """What the user reads of an error."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return f"interrupted ({type(error).__name__})"
    return str(error) or type(error).__name__


def _push_error(text: str) -> None:
    """Leave a text on HDF5's stack of errors.

    It must come last: any other call of HDF5's clears the stack, and freeing an object of h5py is one. HDF5
    2.0 takes no errors from a filter while it runs, but a stack may be put in the place of its own.
    """
    lib = _library()
    message = f"inrcodec: {text}".replace("%", "%%").encode("ascii", "replace")
    classes = (_hid.in_dll(lib, f"H5E_{name}_g") for name in ("ERR_CLS", "PLINE", "CANTFILTER"))
    stack = lib.H5Ecreate_stack()
    lib.H5Epush2(stack, b"hdf5_filter.py", b"inrcodec", 0, *classes, message)
    lib.H5Eset_current_stack(stack)


@contextmanager
def _no_cyclic_collection() -> Iterator[None]:
    """Keep the collector from freeing objects of h5py in a thread of the encoder's.

    Freeing one takes h5py's lock, which the thread that called HDF5 holds, and that one waits for the
    encoder's threads.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def copying() -> Iterator[None]:
    """Datasets created meanwhile are for chunks that are encoded already: PyTorch is not asked for.

    A chunk that is encoded all the same, without it, is stored losslessly, as with any other error.
    """
    token = _COPYING.set(True)
    try:
        yield
    finally:
        _COPYING.reset(token)


def _encoded(function: Any, identifier: int) -> bytes:
    """What one of HDF5's functions that encode an object writes."""
    length = ctypes.c_size_t(0)
    if function(identifier, None, ctypes.byref(length)) < 0:
        raise RuntimeError("HDF5 does not encode an object of its own")
    buffer = ctypes.create_string_buffer(length.value)
    if function(identifier, buffer, ctypes.byref(length)) < 0:
        raise RuntimeError("HDF5 does not encode an object of its own")
    return buffer.raw


def client_data(properties: int) -> ClientData:
    """The filter's client data in a list of dataset creation properties (its identifier)."""
    lib = _library()
    encode = lib.H5Pencode1 if hasattr(lib, "H5Pencode1") else lib.H5Pencode
    return find(_encoded(encode, properties)) or parse(())


def filters(properties: int) -> list[int]:
    """The numbers of a dataset's filters; h5py's own function fails where client data are long."""
    lib = _library()
    numbers = []
    for i in range(lib.H5Pget_nfilters(properties)):
        count = ctypes.c_size_t(0)
        numbers.append(lib.H5Pget_filter2(properties, i, None, ctypes.byref(count), None, 0, None, None))
    return numbers


def _dtype(type_id: int) -> np.dtype[Any]:
    """NumPy's dtype of an HDF5 type.

    Raises:
        TypeError: NumPy has none with the same bits.
    """
    wrapped = h5py.h5t.decode(_encoded(_library().H5Tencode, type_id))
    dtype: np.dtype[Any] = wrapped.dtype
    if dtype.kind in "fiu" and wrapped != h5py.h5t.py_create(dtype):
        raise TypeError(f"an HDF5 type of {wrapped.get_size()} bytes that is near {dtype}, but is not it")
    return dtype


def _chunk_shape(properties: int) -> tuple[int, ...]:
    lengths = (ctypes.c_uint64 * _MOST_AXES)()
    ndim = _library().H5Pget_chunk(properties, _MOST_AXES, lengths)
    if ndim < 0:
        raise ValueError("the filter needs a chunked dataset")
    return tuple(lengths[:ndim])


def _set_local(properties: int, type_id: int, space_id: int) -> int:
    """Called when a dataset is created: check what it will hold, and note it in the client data."""
    try:
        lib = _library()
        if filters(properties)[0] != FILTER_ID:
            raise ValueError("the filter must be the first one: no shuffle, no scaleoffset before it")
        shape, dtype = _chunk_shape(properties), _dtype(type_id)
        check_chunk(shape, dtype)
        settings = client_data(properties).settings
        if settings.volume is not None:
            settings.volume.check_chunk(shape)
        if not _COPYING.get():
            encoding_backend(settings, "auto")  # says now what to install, not when a chunk is written
        words = ClientData(settings, shape, dtype).to_words()
        array = (ctypes.c_uint * len(words))(*words)
        if lib.H5Pmodify_filter(properties, FILTER_ID, _MANDATORY, len(words), array) < 0:
            raise RuntimeError("HDF5 does not take the filter's client data")
    except BaseException as error:
        text = _text(error)
    else:
        return 0
    _push_error(text)
    return -1


def _filter(flags: int, count: int, values: Any, nbytes: int, size: Any, buffer: Any) -> int:
    """Called for each chunk; returns the length of what it puts in place of the buffer, 0 for an error."""
    try:
        with _no_cyclic_collection():
            data = parse(tuple(values[:count]))
            code = _decode if flags & _REVERSE else _encode
            out = code(data, ctypes.string_at(buffer[0], nbytes))
        lib = _library()
        memory = lib.H5allocate_memory(len(out), False)
        if not memory:
            raise MemoryError(f"no memory for {len(out)} bytes of a chunk")
        ctypes.memmove(memory, out, len(out))
        lib.H5free_memory(buffer[0])
        buffer[0], size[0] = memory, len(out)
    except BaseException as error:
        text = _text(error)
    else:
        return len(out)
    _push_error(text)
    return 0


def _encode(data: ClientData, raw: bytes) -> bytes:
    if data.dtype is None or len(raw) != int(np.prod(data.shape, dtype=object)) * data.dtype.itemsize:
        raise ValueError(f"{len(raw)} bytes are no chunk of shape {data.shape} and dtype {data.dtype}")
    chunk = np.frombuffer(raw, data.dtype).reshape(data.shape)
    try:
        return encode_many([chunk], data.settings)[0]
    except BaseException as error:
        _report(error, chunk)
        return encode_lossless(chunk)


def _report(error: BaseException, chunk: np.ndarray[Any, Any]) -> None:
    """Say why a chunk is stored losslessly."""
    text = f"a chunk of shape {chunk.shape} {chunk.dtype} is stored losslessly: {error!r}"
    if isinstance(error, KeyboardInterrupt):
        # again, as soon as HDF5 is done
        timer = threading.Timer(_AGAIN, _thread.interrupt_main)
        timer.daemon = True
        timer.start()
    try:
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    except RuntimeWarning:  # where warnings are errors, which cannot leave a callback
        print(text, file=sys.stderr)


def _decode(data: ClientData, payload: bytes) -> bytes:
    info = inspect(payload)
    check_payload(data, info.shape, info.dtype)
    (chunk,) = decode_many([payload], volume=data.settings.volume)
    return chunk.astype(data.dtype, copy=False).tobytes()  # C order, whatever the payload says


def register() -> None:
    """Make the filter known to HDF5, in the place of any other of its number.

    Raises:
        ImportError: the HDF5 library of h5py cannot be reached.
    """
    try:
        _library()
    except (OSError, AttributeError) as error:
        raise ImportError(f"the HDF5 library of h5py {h5py.__version__} is out of reach: {error}") from error
    h5py.h5z.register_filter(ctypes.addressof(_CLASS))


_CLASS = _FilterClass(1, FILTER_ID, 1, 1, _NAME, None, _SET_LOCAL(_set_local), _FILTER(_filter))
