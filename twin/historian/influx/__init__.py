"""The historian in InfluxDB 2: own line protocol, synchronous writes, Flux only in here."""
