"""The OPC UA server of an edge: a process of its own, a secured view on the live table."""
