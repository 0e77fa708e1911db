"""The durable queue of every publisher, and the uplink that empties it (DESIGN section 4).

``file`` is the SQLite file, ``store`` the thread that owns it and the group commit, ``sender``
the pure state machine that decides which rows go when, ``uplink`` joins them with the wire.
"""
