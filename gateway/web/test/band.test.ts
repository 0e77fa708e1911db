import { describe, expect, test } from "vitest";

import type { Run } from "../src/api";
import { extendRuns, isStop, mergeRuns, packmlLook, runAt, runNear, stopAround, totals } from "../src/band";

const run = (start: number, end: number, state: number | null) => ({ start, end, state, status: 0 });
const look = (r: { state: number | null }) => packmlLook(r.state);

describe("mergeRuns", () => {
  test("runs wider than a few pixels are drawn as they are, clipped to the window", () => {
    const spans = mergeRuns([run(-50, 40, 6), run(40, 150, 9)], 0, 100, 100, look);
    expect(spans).toEqual([
      { from: 0, to: 40, share: [{ look: "running", part: 1 }] },
      { from: 40, to: 100, share: [{ look: "down", part: 1 }] },
    ]);
  });

  test("short stops are gathered with their share, and never vanish", () => {
    const runs = Array.from({ length: 500 }, (_, i) => run(i * 10, i * 10 + 10, i % 10 === 0 ? 9 : 6));
    const spans = mergeRuns(runs, 0, 5000, 100, look);
    const wide = (kind: string) => spans.flatMap((s) => s.share.filter((p) => p.look === kind).map((p) => p.part * (s.to - s.from)));
    expect(wide("down").reduce((a, b) => a + b, 0)).toBeCloseTo(10, 6);
    expect(wide("running").reduce((a, b) => a + b, 0)).toBeCloseTo(90, 6);
    expect(Math.max(...spans.map((s) => s.to - s.from))).toBeLessThanOrEqual(6.3);
  });

  test("spans never overlap and keep holes open", () => {
    const spans = mergeRuns([run(0, 1, 6), run(1, 2, 4), run(50, 51, 6)], 0, 100, 100, look);
    expect(spans.map((s) => [s.from, s.to])).toEqual([
      [0, 2],
      [50, 51],
    ]);
  });

  test("neighbours of one look become one span", () => {
    expect(mergeRuns([run(0, 20, 8), run(20, 60, 9)], 0, 100, 100, look)).toHaveLength(1);
  });
});

test("totals count only the window; unknown is its own state", () => {
  const sum = totals([run(0, 10, 6), run(10, 30, null), run(30, 60, 6)], 5, 50);
  expect([...sum]).toEqual([
    [6, 25],
    [null, 20],
  ]);
});

describe("extendRuns", () => {
  const sample = (value: number | null, time: number) => ({ value, status: 0, time });
  test("the last state lasts until now", () => {
    expect(extendRuns([run(0, 10, 6)], sample(6, 8), 40)).toEqual([run(0, 40, 6)]);
  });
  test("a newer state ends it", () => {
    expect(extendRuns([run(0, 10, 6)], sample(9, 25), 40)).toEqual([run(0, 25, 6), run(25, 40, 9)]);
  });
  test("an older sample changes nothing", () => {
    expect(extendRuns([run(20, 30, 6)], sample(9, 10), 40)).toEqual([run(20, 40, 6)]);
  });
  test("without history it begins with the sample", () => {
    expect(extendRuns([], sample(6, 10), 40)).toEqual([run(10, 40, 6)]);
    expect(extendRuns([], sample(null, 0), 40)).toEqual([]);
  });
  test("what holds at a moment", () => {
    expect(runAt([run(0, 10, 6), run(10, 20, 9)], 12)?.state).toBe(9);
    expect(runAt([run(5, 10, 6)], 2)).toBeNull();
  });
});

describe("stops", () => {
  const told = (start: number, end: number, state: number | null): Run => ({
    ...run(start, end, state),
    told: { waiting: null, mode: null, reason: null, former: [] },
  });
  test("a stop is known and does not produce", () => {
    expect([6, 9, 11, 5, 2, null].map((state) => isStop(told(0, 1, state)))).toEqual([false, true, true, true, true, false]);
    expect(isStop(run(0, 1, 9)), "of a machine only").toBe(false);
  });
  test("a machine that stopped a moment ago can be told why at once", () => {
    const [, now] = extendRuns([told(0, 10, 6)], { value: 9, status: 0, time: 25 }, 40);
    expect(now && isStop(now)).toBe(true);
  });
  test("the pointer finds a short stop beside it rather than the run it is on", () => {
    const runs = [told(0, 100, 6), told(100, 101, 9), told(101, 300, 6)];
    expect(runNear(runs, 98, 5)).toBe(runs[1]);
    expect(runNear(runs, 105, 5)).toBe(runs[1]);
    expect(runNear(runs, 50, 5)).toBe(runs[0]);
  });
  test("a stop is whole although people said different things of its parts", () => {
    const runs = [told(0, 10, 6), told(10, 20, 9), told(20, 40, 9), told(40, 50, 9), told(50, 60, 6), told(60, 70, 9)];
    expect(stopAround(runs, runs[2] as Run)).toEqual({ start: 10, end: 50 });
    expect(stopAround(runs, runs[5] as Run)).toEqual({ start: 60, end: 70 });
  });
});
