"""Arrays in, payload bytes out; knows nothing of zarr, HDF5 or MRC."""

from inrcodec.core.decoder import decode_many, decode_region
from inrcodec.core.encoder import encode_many
from inrcodec.core.inspection import PayloadInfo, inspect
from inrcodec.core.payload import PayloadError
from inrcodec.core.settings import Settings, Target, parse_target
from inrcodec.core.shell_loop import fit_fsc
from inrcodec.core.volume import VolumeModel
from inrcodec.core.volume_fit import fit

__all__ = [
    "PayloadError",
    "PayloadInfo",
    "Settings",
    "Target",
    "VolumeModel",
    "decode_many",
    "decode_region",
    "encode_many",
    "fit",
    "fit_fsc",
    "inspect",
    "parse_target",
]
