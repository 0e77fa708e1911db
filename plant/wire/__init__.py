"""The one wire: MQTT 3.1.1 with Sparkplug B 3.0 (DESIGN section 4).

Only this package imports paho and protobuf. ``codec`` writes and reads payloads, ``edge_session``
and ``host_session`` are the two ends as pure state machines, ``client`` is the socket.
"""
