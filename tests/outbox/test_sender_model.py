"""The sender against a model of everything around it, and proof that the model sees known bugs.

The world: an outbox with bounds, a link that loses and cuts, a twin that queues, commits, dies
and is restored, device deaths, process restarts, hostile acknowledgements. The promise checked:
every accepted row is stored once or stands in a gap record; live tables never go back.
"""

import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from plant.outbox.sender import (
    _Draft,
    start,
    step,
)
from plant.outbox.sender_event import (
    Acked,
    Birth,
    Changed,
    Committed,
    DeviceBorn,
    DeviceDied,
    Dropped,
    Fetch,
    Forget,
    Move,
    Moved,
    Offline,
    Online,
    Read,
    RowAhead,
    SendLive,
    SendRow,
    Tick,
)
from plant.outbox.sender_state import (
    Lane,
    Rules,
    announce,
)

RULES = Rules(window_bytes=400, read_bytes=200)
DEVICES = ("a", "b")
SIZE = 100


class World:
    """Edge, link and twin. ``bug`` puts a known mistake back in."""

    def __init__(self, bug="", host="kaikou"):
        self.bug, self.host = bug, host
        self.now = 100.0
        # the outbox: run -> {offset: (device, version, kept_at)}
        self.rows = {"r0": {}}
        self.last = defaultdict(int)  # highest offset ever given
        self.accepted = {}  # version -> (run, offset) as accepted; the ledger
        self.gaps = set()  # versions in gap records
        self.version = 0
        self.current = dict.fromkeys(DEVICES, 0)
        self.alive = dict.fromkeys(DEVICES, True)
        self.runs = 0
        self.state = start("kaikou", [Lane("r0")], RULES)
        self.todo = []
        self.connected = False
        self.refusing = False
        self.ahead = {}
        # the link: what is on its way, in order
        self.up, self.down = [], []
        # the twin
        self.held = defaultdict(int)
        self.queue = []
        self.durable_marks = defaultdict(int)
        self.stored = {}
        self.known_runs = ()
        self.twin_born = False
        self.seen_live = {}
        self.events = 0
        self.moved = set()

    # ------------------------------------------------------------------------------ the edge

    def do(self, event):
        self.state, actions = step(self.state, event)
        for action in actions:
            if isinstance(action, Forget):
                self.forget(action.run, action.offset)
            elif isinstance(action, Move):
                self.move()
            elif isinstance(action, SendLive):  # the values of now, whenever they go out
                self.todo.append((action.session, dict(self.current)))
            else:
                self.todo.append(action)

    @property
    def run(self):
        return self.state.current.run

    def forget(self, run, offset):
        rows = self.rows.get(run, {})
        for at in [o for o in rows if o <= offset]:
            version = rows.pop(at)[1]
            assert version in self.stored or version in self.gaps, "an unstored row was deleted"

    def move(self):
        self.events += 1
        self.runs += 1
        old = self.rows.pop(self.run)
        acked = self.state.current.acked
        name = f"r{self.runs}"
        self.rows[name] = {o - acked: row for o, row in old.items()}
        last = self.last[name] = self.last[self.run] - acked
        for o, row in self.rows[name].items():
            self.accepted[row[1]] = (name, o)
            self.moved.add(row[1])  # may come twice, under both runs: the historian sees to that
        self.do(Moved(self.now, name, last))

    def accept(self, device):
        self.version += 1
        self.current[device] = self.version
        if self.refusing:
            self.do(Changed(self.now))
            return
        rows = self.rows[self.run]
        offset = self.last[self.run] = self.last[self.run] + 1
        if self.bug == "offset used again" and not rows:
            offset = self.last[self.run] = 1
        rows[offset] = (device, self.version, self.now)
        self.accepted[self.version] = (self.run, offset)
        if self.bug == "offset used again":
            self.state = _with_last(self.state, offset)
        self.do(Committed(self.now, self.run, offset))

    def drop_oldest(self, count):
        gone = []
        for run in [lane.run for lane in self.state.lanes]:
            for offset in sorted(self.rows[run])[: count - len(gone)]:
                version = self.rows[run].pop(offset)[1]
                if self.bug != "drop not counted":
                    self.gaps.add(version)
                gone.append((run, offset))
        if gone:
            self.do(Dropped(self.now, frozenset(gone)))

    def restart_edge(self):
        self.cut()
        self.runs += 1
        lanes = [
            Lane(lane.run, lane.acked, lane.last, lane.acked)
            for lane in self.state.lanes
            if self.rows[lane.run]
        ]
        name = f"r{self.runs}"
        self.rows[name] = {}
        self.state = start("kaikou", [*lanes, Lane(name)], RULES)
        self.todo, self.ahead = [], {}
        for device, there in self.alive.items():
            if not there:
                self.do(DeviceDied(self.now, device))

    def work(self, count=10**6):
        """Do what the sender asked for, on the link if there is one."""
        while self.todo and count:
            count -= 1
            action = self.todo.pop(0)
            match action:
                case Birth():
                    self.birth()
                case Fetch(run, above, last, max_bytes):
                    self.fetch(run, above, last, max_bytes)
                case SendRow():
                    self.send_row(action)
                case (session, values):
                    if session == self.state.session:
                        self.send_live(values)

    def fetch(self, run, above, last, max_bytes):
        offsets = sorted(o for o in self.rows.get(run, {}) if above < o <= last)
        offsets = offsets[: max(1, max_bytes // SIZE)]
        self.ahead = {(run, o): self.rows[run][o] for o in offsets}
        rows = [RowAhead(o, SIZE, self.rows[run][o][0]) for o in offsets]
        self.do(Read(self.now, run, above, last, rows))

    def send_row(self, action):
        row = self.ahead.pop((action.run, action.offset), None)
        if row is None or action.epoch != self.state.epoch or not self.connected:
            return
        device, version, _ = row
        after = action.offset - 1 if self.bug == "after is the offset before" else action.after
        historical = action.historical and self.bug != "old rows as live"
        live = not historical and self.alive[device]
        self.up.append(("row", action.run, action.offset, after, device, version, live))
        if self.bug == "delete before ack":
            self.rows[action.run].pop(action.offset, None)

    def send_live(self, values):
        for device, version in values.items():
            if self.alive[device] and self.connected:
                self.up.append(("live", device, version))

    def birth(self):
        if not self.connected:
            return
        values = {d: v for d, v in self.current.items() if self.alive[d]}
        self.up.append(("birth", announce(self.state), values))
        self.do(Online(self.now))

    def connect(self):
        if not self.connected:
            self.connected = True
            self.todo, self.up, self.down = [Birth()], [], []

    def cut(self):
        self.connected = False
        self.todo, self.up, self.down = [], [], []
        self.twin_born = False
        self.do(Offline(self.now))

    def device(self, device, alive):
        if self.alive[device] == alive:
            return
        self.alive[device] = alive
        if alive:
            if self.connected:
                self.todo.append((self.state.session, {device: self.current[device]}))
            self.do(DeviceBorn(self.now, device))
        else:
            self.do(DeviceDied(self.now, device))

    # ------------------------------------------------------------------------------ the link

    def deliver(self, count=10**6):
        while self.up and count:
            count -= 1
            self.twin_hears(self.up.pop(0))
        while self.down:
            host, marks = self.down.pop(0)
            self.do(Acked(self.now, host, marks))

    def lose(self, which):
        rows = [m for m in self.up if m[0] != "birth"]  # a lost birth is asked for again
        if rows:
            lost = rows[which % len(rows)]
            self.up.remove(lost)
            if lost[0] == "live":  # the sequence gap makes the twin ask for births
                self.todo.append(Birth())

    def doubled(self, which):
        rows = [m for m in self.up if m[0] == "row"]
        if rows:  # its sequence number is wrong, so it is not live
            self.up.append((*rows[which % len(rows)][:-1], False))

    # ------------------------------------------------------------------------------ the twin

    def twin_hears(self, message):
        kind = message[0]
        if kind == "birth":
            self.twin_born = True
            self.known_runs = message[1].runs
            for run in self.known_runs:
                if self.durable_marks[run.run] < run.acked:  # an earlier historian had them
                    for v, (r, o) in self.accepted.items():
                        if r == run.run and o <= run.acked and v not in self.stored:
                            self.gaps.add(v)
                    self.durable_marks[run.run] = run.acked
                    self.held[run.run] = max(self.held[run.run], run.acked)
            self.see_live(message[2])
            self.ack()
            return
        if not self.twin_born:
            return  # it will ask for a birth
        if kind == "live":
            self.see_live({message[1]: message[2]})
            return
        _, run, offset, after, device, version, live = message
        if live:
            self.see_live({device: version})
        if offset <= self.held[run]:
            return
        if after > self.held[run] and self.bug != "twin takes any order":
            if self.bug == "rejected rows acknowledged":
                self.durable_marks[run] = self.held[run] = offset
            return
        self.held[run] = offset
        self.queue.append((run, offset, version))
        if self.bug == "ack before commit":
            self.ack(self.held)

    def see_live(self, values):
        for device, version in values.items():
            if version:
                assert version >= self.seen_live.get(device, 0), "the live table went back"
                self.seen_live[device] = version

    def commit(self):
        for run, offset, version in self.queue:
            assert version not in self.stored or version in self.moved, "stored twice"
            self.stored[version] = (run, offset)
            self.durable_marks[run] = max(self.durable_marks[run], offset)
        self.queue = []
        self.ack()

    def ack(self, marks=None):
        marks = marks or self.durable_marks
        if self.connected and self.known_runs:
            told = tuple((run.run, marks[run.run]) for run in self.known_runs)
            self.down.append(("kaikou", told))

    def restart_twin(self):
        self.queue = []
        self.held = defaultdict(int, self.durable_marks)
        self.twin_born = False
        self.seen_live = {}
        self.known_runs = ()
        if self.connected:
            self.todo.append(Birth())  # it asks for one

    # ------------------------------------------------------------------------------- the end

    def heal(self):
        """Everything works again; time passes until nothing waits."""
        self.refusing = False
        self.connect()
        for device in DEVICES:
            self.device(device, True)
        for _ in range(400):
            if not self.twin_born and self.connected and Birth() not in self.todo:
                self.todo.append(Birth())
            self.work()
            self.deliver()
            self.commit()
            self.deliver()
            self.work()
            self.now += 0.5
            self.do(Tick(self.now))
            if not any(self.rows.values()) and not self.todo and not self.up:
                break
        self.check()
        left = {run: sorted(rows) for run, rows in self.rows.items() if rows}
        assert not left, f"rows were never delivered: {left}"
        for version in self.accepted:
            assert (version in self.stored) or (version in self.gaps), f"{version} is missing"
        for device, version in self.current.items():
            assert self.seen_live.get(device, 0) == version or not version, "live is not current"

    def check(self):
        state = self.state
        assert state.window_bytes <= RULES.window_bytes + RULES.read_bytes, "window too large"
        assert len(state.commits) <= 64
        for lane in state.lanes:
            assert lane.acked <= lane.cursor
        assert len({lane.run for lane in state.lanes}) == len(state.lanes)


def _with_last(state, offset):
    lane = replace(state.current, last=offset - 1, cursor=min(state.current.cursor, offset - 1))
    return replace(state, lanes=(*state.lanes[:-1], lane))


STEPS = {
    "accept": 12,
    "work": 8,
    "deliver": 8,
    "commit": 5,
    "tick": 4,
    "wait": 1,
    "cut": 1,
    "connect": 4,
    "lose": 3,
    "double": 1,
    "restart_edge": 1,
    "restart_twin": 1,
    "drop": 2,
    "refuse": 1,
    "die": 1,
    "born": 1,
    "stranger": 1,
    "unearned": 1,
}


def one(world, name, n):
    match name:
        case "accept":
            world.accept(DEVICES[n % 2])
        case "work":
            world.work(1 + n % 5)
        case "deliver":
            world.deliver(1 + n % 6)
        case "commit":
            world.commit()
        case "tick":
            world.now += 0.3 + n % 3
            world.do(Tick(world.now))
        case "wait":
            world.now += 20
            world.do(Tick(world.now))
        case "cut":
            world.cut()
        case "connect":
            world.connect()
        case "lose":
            world.lose(n)
        case "double":
            world.doubled(n)
        case "restart_edge":
            world.restart_edge()
        case "restart_twin":
            world.restart_twin()
        case "drop":
            world.drop_oldest(1 + n % 4)
        case "refuse":
            world.refusing = not world.refusing
        case "die":
            world.device(DEVICES[n % 2], False)
        case "born":
            world.device(DEVICES[n % 2], True)
        case "stranger":
            world.down.append(("mallory", tuple((lane.run, 99) for lane in world.state.lanes)))
        case "unearned":
            if world.connected:
                world.down.append(("kaikou", ((world.run, 10**6),)))
    world.check()


def walk(seed, bug="", steps=120, allowed=tuple(STEPS)):
    chance = random.Random(seed)
    world = World(bug)
    names = [name for name in allowed for _ in range(STEPS[name])]
    for _ in range(steps):
        one(world, chance.choice(names), chance.randrange(1000))
    world.heal()
    return world


@pytest.mark.parametrize("seed", range(0, 1500, 100))
def test_random_histories_lose_nothing(seed):
    for one_seed in range(seed, seed + 100):
        walk(one_seed)


@pytest.mark.parametrize(
    "bug",
    [
        "delete before ack",
        "offset used again",
        "rejected rows acknowledged",
        "ack before commit",
        "drop not counted",
        "after is the offset before",
        "twin takes any order",
        "old rows as live",
    ],
)
def test_known_bugs_are_seen(bug):
    for seed in range(300):
        try:
            walk(seed, bug)
        except AssertionError:
            return
    raise AssertionError(f"the model does not see {bug!r}")


def _never_back(self, now):
    state = self.state
    if state.online and now - state.heard_at >= state.rules.silence_s:
        self._back(lambda lane: replace(lane, answered=False))
        self.state = replace(self.state, heard_at=now)


def _obeys_anybody(self, event, original=_Draft._acked):
    original(self, replace(event, host=self.state.host))


def _obeys_unearned(self, lane, offset):
    self.actions.append(Forget(lane.run, lane.last))
    self._put(replace(lane, acked=lane.last, cursor=lane.last, sent=lane.last))


def _answers_before_asked(self, event, original=_Draft._session):
    original(self, event)
    if isinstance(event, Online):
        lanes = tuple(replace(lane, answered=True) for lane in self.state.lanes)
        self.state = replace(self.state, lanes=lanes)


def _without_bound(self):
    state = self.state
    lane = next((lane for lane in state.lanes if lane.waits and lane.answered), None)
    if state.online and not state.reading and not state.moving and lane:
        self.state = replace(state, reading=True)
        self.actions.append(Fetch(lane.run, lane.cursor, lane.last, 10**6))


PLAIN = ("accept", "work", "deliver", "commit", "tick", "connect", "lose", "lose", "lose")
SENDER_BUGS = {
    "never goes back": ("_tick", _never_back),
    "obeys anybody": ("_acked", _obeys_anybody),
    "obeys what is not earned": ("_unearned", _obeys_unearned),
    "goes back without telling": ("_tell_window", lambda self: None),
    "waiting rows are live": ("_is_late", lambda self, lane, row, now: False),
    "no current values while rows wait": ("live_first", lambda self, now: None),
    "window without bound": ("pump", _without_bound),
    "keeps the window over a new session": (
        "_back",
        lambda self, change: setattr(
            self, "state", replace(self.state, lanes=tuple(map(change, self.state.lanes)))
        ),
    ),
}


@pytest.mark.parametrize("bug", SENDER_BUGS)
def test_bugs_in_the_sender_are_seen(bug, monkeypatch):
    name, instead = SENDER_BUGS[bug]
    monkeypatch.setattr(_Draft, name, instead)
    for seed in range(400):
        try:
            walk(seed, allowed=PLAIN if seed % 2 else tuple(STEPS), steps=40 if seed % 2 else 120)
        except AssertionError:
            return
    raise AssertionError(f"the model does not see {bug!r}")


class Sender(RuleBasedStateMachine):
    """The same world, steered by hypothesis, which shrinks what it finds."""

    @initialize()
    def begin(self):
        self.world = World()

    @rule(name=st.sampled_from(sorted(STEPS)), n=st.integers(0, 11))
    def act(self, name, n):
        one(self.world, name, n)

    @invariant()
    def sound(self):
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self):
        if hasattr(self, "world"):
            self.world.heal()


TestSender = Sender.TestCase
TestSender.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
