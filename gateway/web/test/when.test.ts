import { afterEach, beforeEach, expect, test, vi } from "vitest";

/** As much of a browser as the address, the clock and the socket need. */
const entries: string[] = ["/line/housings"];
let place = 0;
const heard: Record<string, (() => void)[]> = {};
const address = () => new URL(entries[place] as string, "http://plant");
const move = (to: string) => void (entries.splice(place + 1), entries.push(to), (place += 1));
class Socket {
  static OPEN = 1;
  static last: Socket;
  readyState = 1;
  onopen: () => void = () => undefined;
  onmessage: (event: { data: string }) => void = () => undefined;
  constructor() {
    Socket.last = this;
  }
  send(): void {}
  close(): void {}
  say(message: object): void {
    this.onmessage({ data: JSON.stringify(message) });
    vi.advanceTimersByTime(20);
  }
}

vi.useFakeTimers({ now: 1_800_000_000_000 });
vi.stubGlobal("document", { hidden: false, addEventListener: () => undefined });
vi.stubGlobal("location", {
  get pathname() {
    return address().pathname;
  },
  get search() {
    return address().search;
  },
  origin: "http://plant",
  protocol: "http:",
  host: "plant",
});
vi.stubGlobal("history", {
  pushState: (_: unknown, __: string, to: string) => move(to),
  replaceState: (_: unknown, __: string, to: string) => void (entries[place] = to),
});
vi.stubGlobal("addEventListener", (kind: string, hear: () => void) => (heard[kind] ??= []).push(hear));
vi.stubGlobal("window", globalThis);
vi.stubGlobal("requestAnimationFrame", (draw: () => void) => setTimeout(draw, 16));
vi.stubGlobal("WebSocket", Socket);

const { at, known, knownAt, pageNow, parseWhen, printWhen, show, tick } = await import("../src/when");
const { cell, listen, past, view } = await import("../src/live");
const { plantClock } = await import("../src/clock");
const { machineHref } = await import("../src/route");

const NOON = 1_799_990_000_000;
const back = () => {
  place -= 1;
  heard["popstate"]?.forEach((hear) => hear());
};

beforeEach(() => show({ at: null }));
afterEach(() => vi.advanceTimersByTime(1000));

test("an address names the moment and what was known", () => {
  expect(parseWhen(new URLSearchParams(`at=${NOON}`))).toEqual({ at: NOON, known: "today" });
  expect(parseWhen(new URLSearchParams(`at=${NOON}&known=then`))).toEqual({ at: NOON, known: "then" });
  expect(parseWhen(new URLSearchParams(`at=${NOON}&known=${NOON + 5}`))).toEqual({ at: NOON, known: NOON + 5 });
  for (const text of ["", "known=then", "at=soon", "at=-5", "at=1.5", "at=1e99"]) {
    expect(parseWhen(new URLSearchParams(text)), text).toEqual({ at: null, known: "today" });
  }
  expect(printWhen({ at: NOON, known: "then" })).toEqual({ at: String(NOON), known: "then" });
  expect(printWhen({ at: null, known: "then" })).toEqual({ at: null, known: null });
});

test("the page stands at the moment, and what was known follows it", () => {
  show({ at: NOON });
  expect([at.value, tick.value, pageNow(), knownAt.value]).toEqual([NOON, NOON, NOON, null]);
  show({ known: "then" });
  expect(knownAt.value).toBe(NOON);
  show({ at: NOON - 60_000 });
  expect([known.value, knownAt.value]).toEqual(["then", NOON - 60_000]);
  show({ known: NOON + 7 });
  expect(knownAt.value).toBe(NOON + 7);
  show({ at: null });
  expect([at.value, known.value, knownAt.value]).toEqual([null, "today", null]);
});

test("what is still to come is not shown", () => {
  show({ at: Date.now() + 3_600_000 });
  expect(at.value).toBeLessThanOrEqual(Date.now());
});

test("leaving live is a step of the browser's history, scrubbing is not; back returns to live", () => {
  const steps = place;
  show({ at: NOON });
  expect(place).toBe(steps + 1);
  for (let i = 1; i < 30; i++) show({ at: NOON - i * 1000 });
  vi.advanceTimersByTime(1000);
  expect(place).toBe(steps + 1);
  expect(address().searchParams.get("at")).toBe(String(NOON - 29_000));
  back();
  expect(at.value).toBeNull();
});

test("an address that names what is still to come is live, once plant time is known", () => {
  plantClock.hear(Date.now(), performance.now());
  move(`/line/housings?at=${Date.now() + 3_600_000}`);
  heard["popstate"]?.forEach((hear) => hear());
  expect(at.value).toBeNull();
});

test("the moment travels with every link", () => {
  show({ at: NOON, known: "then" });
  expect(machineHref("lathe")).toBe(`/machine/lathe?at=${NOON}&known=then`);
});

test("live values never show in the past, nor reach a chart, and are there at once when it is live again", () => {
  const seen: number[] = [];
  const stop = listen("lathe/power", (sample) => seen.push(sample.value ?? -1));
  const shown: (number | null)[] = [];
  const power = cell("lathe/power");
  const unwatch = power.subscribe((sample) => shown.push(sample.value));
  view(["lathe/power"]);
  Socket.last.onopen();
  Socket.last.say({ v: 1, type: "snapshot", time: Date.now(), paths: ["lathe/power"], value: [7], status: [0], source_time: [Date.now()] });
  expect([power.value.value, seen]).toEqual([7, [7]]);
  show({ at: NOON });
  expect(power.value.value, "nothing yet of that moment").toBeNull();
  Socket.last.say({ type: "frame", seq: 1, time: Date.now(), i: [0], value: [8], status: [0], source_time: [Date.now()] });
  expect(power.value.value).toBeNull();
  past.value = new Map([["lathe/power", { value: 3, status: 0, time: NOON - 1 }]]);
  Socket.last.say({ type: "frame", seq: 2, time: Date.now(), i: [0], value: [9], status: [0], source_time: [Date.now()] });
  expect([power.value.value, seen]).toEqual([3, [7]]);
  expect(shown).toEqual([null, 7, null, 3]);
  show({ at: null });
  expect(power.value.value).toBe(9);
  stop();
  unwatch();
});
