"""Benches: each runs the real thing, keeps its own record, and prints figures as one JSON line."""
