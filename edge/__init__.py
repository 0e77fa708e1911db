"""Where machines speak: one file per protocol, conditioning for dumb machines, the OPC UA server."""
