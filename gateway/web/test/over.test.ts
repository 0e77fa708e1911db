import { expect, test } from "vitest";

import { covered } from "../src/stop/over";

const stop = { start: 1000, end: 9000 };
const about = { run: stop, stop, part: { start: 2000, end: 4000 }, goesOn: false };

test("a reason covers the stop, a stretch of it or a part", () => {
  expect(covered("stop", about)).toEqual(stop);
  expect(covered("run", { ...about, run: { start: 5000, end: 9000 } })).toEqual({ start: 5000, end: 9000 });
  expect(covered("part", about)).toEqual({ start: 2000, end: 4000 });
});

test("of a stop that goes on it holds until the stop ends", () => {
  const now = { ...about, goesOn: true };
  expect(covered("stop", now)).toEqual({ start: 1000, end: null });
  expect(covered("run", { ...now, run: { start: 5000, end: 9000 } })).toEqual({ start: 5000, end: null });
  expect(covered("run", { ...now, run: { start: 1000, end: 5000 } })).toEqual({ start: 1000, end: 5000 });
  expect(covered("part", now)).toEqual({ start: 2000, end: 4000 });
  expect(covered("part", { ...now, part: stop })).toEqual(stop);
});

test("a part lies within the stop but for the whole seconds that were written", () => {
  const of = (start: number, end: number) => covered("part", { ...about, part: { start, end } });
  expect(of(400, 9400)).toEqual(stop);
  expect(of(-1, 4000)).toBeNull();
  expect(of(2000, 11_000)).toBeNull();
  expect(of(4000, 4000)).toBeNull();
});
