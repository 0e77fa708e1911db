"""The figures of a raw event log counted again, piece by piece, in plain Python.

Nothing of the twin, of numpy or of the plant's model is used here: only the raw log as plain data
and the definitions of docs/methods.md. Slow on purpose, and simple.
"""

import math
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

MINOR = 300_000
MONTH = 31 * 86_400_000
HOLD = 180_000
FAMILY = {
    **dict.fromkeys((6, 16), "producing"),
    **dict.fromkeys((13, 5, 14), "suspended"),
    **dict.fromkeys((10, 11, 12), "held"),
    **dict.fromkeys((8, 9, 1), "fault"),
    **dict.fromkeys((7, 2), "off"),
    **dict.fromkeys((15, 4, 3, 17), "idle"),
}
MODES = {"production": 1, "maintenance": 2, "manual": 3, "setup": 4}
OF_KIND = {"planned": "pdt", "setup": "asut", "organisation": "adot"}


def known_rows(log, path):
    """Newest version of each time that was known, in order."""
    newest = {}
    for time, value, status, received in log["rows"].get(path, []):
        if log["known_at"] is not None and received > log["known_at"]:
            continue
        if time not in newest or received > newest[time][2]:
            newest[time] = (value, status, received)
    return [(t, v, s) for t, (v, s, _) in sorted(newest.items())]


def bad(value, status):
    return bool(status & 0x80000000) or math.isnan(value)


def held_at(rows, hold, time):
    """The value that holds at a time, None where nothing good does."""
    found = None
    for row in rows:
        if row[0] <= time:
            found = row
    if found is None or time >= found[0] + hold or bad(found[1], found[2]):
        return None
    return found[1]


def events(log, kind):
    found = []
    for received, time, asset, what, data in log["events"]:
        if what != kind or (log["known_at"] is not None and received > log["known_at"]):
            continue
        if asset == log["asset"] or (kind == "product" and asset == log["line"]):
            found.append((time, data))
    return found


def word_at(said, word, time):
    """What the newest statement over a time says, None where there is none or it was taken back."""
    over = [
        d
        for _, d in said
        if d["start"] <= time < (d["end"] if d["end"] is not None else d["start"] + MONTH)
    ]
    if not over:
        return None
    return max(over, key=lambda d: d["said"])[word] or None


def product_at(said, time):
    before = [d for _, d in said if d["start"] <= time]
    if not before:
        return ""
    return max(before, key=lambda d: (d["start"], d["said"]))["product"]


def shifts(log):
    """(key, worked, start, end, breaks) of every shift that may touch the range."""
    zone = ZoneInfo(log["zone"])

    def ms(day, minute):
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
        return int((midnight + timedelta(minutes=minute)).timestamp()) * 1000

    first = datetime.fromtimestamp(log["start"] / 1000, zone).date() - timedelta(3)
    last = datetime.fromtimestamp(log["end"] / 1000, zone).date() + timedelta(1)
    found = []
    day = first
    while day <= last:
        if log["calendar"] is None:
            found.append((f"{day}/day", True, ms(day, 0), ms(day, 1440), []))
        else:
            worked = day.weekday() in log["calendar"]["weekdays"]
            worked = worked and day not in map(date.fromisoformat, log["calendar"]["closed"])
            for shift in log["calendar"]["shifts"]:
                breaks = [(ms(day, s), ms(day, e)) for s, e in shift["breaks"]]
                key = f"{day}/{shift['id']}"
                found.append((key, worked, ms(day, shift["start"]), ms(day, shift["end"]), breaks))
        day += timedelta(1)
    return found


class Recount:
    """``rows``: by key of a shift, and "" for the whole range, the times in ms and the units."""

    def __init__(self, log):
        self.log = log
        asset = log["asset"]
        self.states = known_rows(log, f"{asset}/state")
        self.waiting = known_rows(log, f"{asset}/waiting")
        self.modes = known_rows(log, f"{asset}/mode")
        self.said_reasons = [
            (time, data | {"end": self.stop_ends(data["start"])} if data["end"] is None else data)
            for time, data in events(log, "reason")
        ]
        self.said_modes = events(log, "mode")
        self.said_products = events(log, "product")
        self.shifts = shifts(log)
        self.rows = {}
        self.pieces = self._pieces()
        self._book_times()
        self._count_units()
        self._book_readable()

    def hold(self, name):
        return self.log["hold"].get(f"{self.log['asset']}/{name}") or HOLD

    def stop_ends(self, start):
        """A reason without an end holds until the machine is first seen to produce."""
        for time in sorted({start, *(t for t, _, _ in self.states if t > start)}):
            state = held_at(self.states, self.hold("state"), time)
            if state is not None and state != 0 and FAMILY[int(state)] == "producing":
                return min(time, start + MONTH)
        return start + MONTH

    def row(self, key):
        names = (
            "pot",
            "pbt",
            "unknown",
            "apt",
            "asut",
            "adet",
            "adot",
            "pq",
            "gq",
            "pq_unknown",
            "readable",
        )
        return self.rows.setdefault(key, dict.fromkeys(names, 0) | {"products": {}})

    def shift(self, time):
        return next((s for s in self.shifts if s[2] <= time < s[3]), None)

    def _pieces(self):
        start, end = self.log["start"], self.log["end"]
        first = start - MINOR
        after = [t for t, _, _ in self.states if end <= t < end + MINOR]
        last = max([end, *after])
        cuts = {start, end, first, last}
        for name, rows in (("state", self.states), ("waiting", self.waiting), ("mode", self.modes)):
            for time, _, _ in rows:
                cuts |= {time, time + self.hold(name)}
        for _, data in (*self.said_reasons, *self.said_modes):
            cuts |= {data["start"], data["end"] or last}
        cuts |= {d["start"] for _, d in self.said_products}
        for _, _, begin, finish, breaks in self.shifts:
            cuts |= {begin, finish, *(t for pair in breaks for t in pair)}
        times = sorted(t for t in cuts if first <= t <= last)
        pieces = [[a, b, *self._books(a)] for a, b in pairwise(times)]
        at = 0
        while at < len(pieces):  # unexplained stops, judged by their whole length
            until = at
            while until < len(pieces) and pieces[until][3]:
                until += 1
            if until > at and pieces[until - 1][1] - pieces[at][0] < MINOR:
                for piece in pieces[at:until]:
                    piece[2] = "adet"
            at = max(until, at + 1)
        return [p for p in pieces if start <= p[0] < end]

    def _books(self, time):
        """What a moment is booked to, and whether it is a stop that nobody explained."""
        state = held_at(self.states, self.hold("state"), time)
        waiting = held_at(self.waiting, self.hold("waiting"), time)
        mode = held_at(self.modes, self.hold("mode"), time) or 0
        stated = word_at(self.said_modes, "mode", time)
        mode = MODES[stated] if stated else int(mode)
        reason = word_at(self.said_reasons, "code", time)
        kind = self.log["kinds"][reason] if reason else None
        if state is None or state == 0:
            return ("pdt", False) if kind == "planned" else ("unknown", False)
        family = FAMILY[int(state)]
        if family == "producing" and mode in (0, 1):
            return "apt", False
        if kind is not None:
            return OF_KIND.get(kind, "adet"), False
        if mode == 4:
            return "asut", False
        if mode in (2, 3) or family == "suspended":
            return "adet", False
        assert waiting in (None, 0, 1, 2)
        return ("adet" if family in ("held", "fault") else "adot"), True

    def _book_times(self):
        for begin, end, books, _ in self.pieces:
            shift = self.shift(begin)
            if shift is None or not shift[1]:
                continue
            for key in ("", shift[0]):
                row = self.row(key)
                row["pot"] += end - begin
                paused = any(s <= begin < e for s, e in shift[4])
                if books == "pdt" or (paused and books != "apt"):
                    continue
                row["pbt"] += end - begin
                row[books] += end - begin

    def _count_units(self):
        for id, made, good in self.log["counters"]:
            path = f"{self.log['asset']}/{id}"
            usable = [(t, v) for t, v, s in known_rows(self.log, path) if not bad(v, s)]
            for (before, old), (time, new) in pairwise(usable):
                if not self.log["start"] <= time < self.log["end"] or new == old:
                    continue
                shift = self.shift(time)
                if shift is None or not shift[1]:
                    continue
                step = self._step(old, new, self.log["modulus"].get(path))
                begin = max(before, self.log["start"])
                unknown = self._unknown(begin, time)
                for key in ("", shift[0]):
                    row = self.row(key)
                    if 2 * unknown > time - begin:
                        row["pq_unknown"] += step * made
                        continue
                    row["pq"] += step * made
                    row["gq"] += step * good
                    product = product_at(self.said_products, time)
                    units = row["products"].setdefault(product, [0, 0])
                    units[0] += step * made
                    units[1] += step * good

    def _book_readable(self):
        """Known planned time in which every counter could be read."""
        named = [
            (id, known_rows(self.log, f"{self.log['asset']}/{id}"))
            for id, _, _ in self.log["counters"]
        ]
        cuts = {
            t for id, rows in named for time, _, _ in rows for t in (time, time + self.hold(id))
        }
        for begin, end, books, _ in self.pieces:
            shift = self.shift(begin)
            if shift is None or not shift[1] or books in ("pdt", "unknown"):
                continue
            if books != "apt" and any(s <= begin < e for s, e in shift[4]):
                continue
            inner = sorted({begin, end, *(t for t in cuts if begin < t < end)})
            for a, b in pairwise(inner):
                if all(held_at(rows, self.hold(id), a) is not None for id, rows in named):
                    self.row("")["readable"] += b - a
                    self.row(shift[0])["readable"] += b - a

    def _unknown(self, begin, end):
        total = 0
        for a, b, books, _ in self.pieces:
            if books == "unknown" and a < end and b > begin:
                total += min(b, end) - max(a, begin)
        return total

    @staticmethod
    def _step(old, new, modulus):
        if new >= old:
            return int(new - old)
        if modulus and old >= modulus * 0.9 and new <= modulus * 0.1:
            return int(new - old + modulus)
        return int(new)
