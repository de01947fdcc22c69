"""Benchmarks of inrcodec beside other codecs; see README.md in this folder."""
