"""The demo plant: one command to a live line."""
