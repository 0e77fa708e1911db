"""Benchmarks that print numbers: ``python -m bench NAME --json``."""
