"""The disk that a full disk must still have: pages for a gap record, and a log that stays short."""

import apsw

from plant.outbox.schema import LOG_PAGES, RESERVE_BYTES, is_damage, transaction


class Reserve:
    """Pages kept back in the file, and its write-ahead log taken into it in time."""

    def __init__(self, database: apsw.Connection) -> None:
        self._db = database
        self._log_pages = 0
        database.set_wal_hook(self._on_log)
        self.there = bool(database.execute("SELECT count(*) FROM reserve").get)

    def _on_log(self, connection: apsw.Connection, name: str, pages: int) -> int:
        del connection, name
        self._log_pages = pages
        return apsw.SQLITE_OK

    def empty_log(self) -> bool:
        """Take a long write-ahead log into the file; False when the disk has no room for that.

        SQLite by itself would go on writing the log, and use up what a gap record needs.
        """
        if self._log_pages >= LOG_PAGES:
            try:
                self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
                if is_damage(error):
                    raise
                return False
            self._log_pages = 0
        return True

    def fill(self) -> bool:
        """Keep some pages back for the gap record of a full disk; whether they are there."""
        if not self.there:
            try:
                with transaction(self._db):
                    self._db.execute(
                        "INSERT INTO reserve(blank) VALUES(zeroblob(?))", (RESERVE_BYTES,)
                    )
            except (apsw.FullError, apsw.IOError, apsw.ReadOnlyError) as error:
                if is_damage(error):
                    raise
                return False
            self.there = True
        return True

    def spend(self) -> None:
        """Free the pages, inside a transaction; ``there`` follows when it is durable."""
        self._db.execute("DELETE FROM reserve")
