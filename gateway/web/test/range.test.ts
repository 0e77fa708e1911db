import { describe, expect, test } from "vitest";

import { pan, parseRange, parseSpan, printRange, printSpan, steppedWindow, windowOf, zoom } from "../src/trend/range";

const HOUR = 3_600_000;
const now = 100 * HOUR;

describe("the address", () => {
  test.each(["45s", "15m", "1h", "8h", "90m", "7d"])("%s survives", (text) => expect(printSpan(parseSpan(text) ?? 0)).toBe(text));
  test.each(["", "h", "-1h", "1e9d", "5w"])("%s is no span", (text) => expect(parseSpan(text)).toBeNull());
  test("a fixed window wins over a span", () => {
    const range = parseRange(new URLSearchParams("range=8h&from=1000&to=9000"));
    expect(range).toEqual({ live: false, from: 1000, to: 9000 });
    expect(printRange(range)).toEqual({ range: null, from: "1000", to: "9000" });
  });
  test("nothing named is the last hour, live", () => {
    expect(parseRange(new URLSearchParams())).toEqual({ live: true, span: HOUR });
    expect(printRange({ live: true, span: HOUR })).toEqual({ range: null, from: null, to: null });
  });
});

describe("moving", () => {
  test("zooming keeps the moment under the pointer in its place", () => {
    const before = { live: false, from: 0, to: 10 * HOUR } as const;
    const after = zoom(before, 0.5, 2 * HOUR, now);
    expect(windowOf(after, now)).toEqual({ start: HOUR, end: 6 * HOUR });
  });
  test("zooming at the right edge of a live range stays live", () => {
    expect(zoom({ live: true, span: HOUR }, 2, now, now)).toEqual({ live: true, span: 2 * HOUR });
  });
  test("moving back leaves live, moving past now returns to it", () => {
    const back = pan({ live: true, span: HOUR }, -0.5, now);
    expect(back.live).toBe(false);
    expect(pan(back, 0.6, now)).toEqual({ live: true, span: HOUR });
  });
  test("a live window moves by whole pixels and never ends before now", () => {
    const range = { live: true, span: 8 * HOUR } as const;
    const one = steppedWindow(range, now + 1, 1000);
    expect(one).toEqual(steppedWindow(range, now + 28_000, 1000));
    expect(one.end).toBeGreaterThanOrEqual(now + 1);
    expect(one.end - one.start).toBe(8 * HOUR);
  });
});
