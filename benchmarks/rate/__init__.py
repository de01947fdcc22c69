"""Rate against quality: every codec on every map, on bytes written to disk and read back.

``python -m benchmarks.rate MAPS... --out DIR``; see README.md in the folder above.
"""
