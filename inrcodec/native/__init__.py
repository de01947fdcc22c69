"""The HDF5 plugin for programs that are not Python: C source, and what builds it.

``python -m inrcodec.native build --out DIR`` writes a shared library that HDF5 finds in ``HDF5_PLUGIN_PATH``.
"""

from inrcodec.native.build import BuildError, build

__all__ = ["BuildError", "build"]
