"""OEE and the figures of ISO 22400-2 from what the historian holds; see docs/methods.md."""
