"""Where machines speak: a file per protocol, conditioning for dumb machines, OPC UA server."""
