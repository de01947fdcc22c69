"""The claims of the seed paper (arXiv:2512.12975), measured: ``python -m benchmarks.seed_paper``."""
