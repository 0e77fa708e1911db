import { expect, test } from "vitest";

import type { Shift } from "../src/api";
import { parsePeriod, printPeriod, spanOf } from "../src/oee/period";
import { stepsOf } from "../src/oee/step";
import { openZone } from "../src/zone";

const HOUR = 3_600_000;
const zone = openZone("Asia/Shanghai");
const MIDNIGHT = Date.UTC(2026, 10, 21, 16);
const shift = (date: string, start: number, hours: number, working = true): Shift => ({
  id: "s",
  name: { zh: "", en: "" },
  crew: null,
  date,
  start: MIDNIGHT + start * HOUR,
  end: MIDNIGHT + (start + hours) * HOUR,
  breaks: [],
  working,
});
const SHIFTS = [shift("2026-11-21", 8 - 24, 12), shift("2026-11-21", -4, 12), shift("2026-11-22", 8, 12), shift("2026-11-22", 20, 12)];

test("a period survives the address", () => {
  for (const p of ["shift", "last", "day", "week", { from: MIDNIGHT, to: MIDNIGHT + 5 }] as const) expect(parsePeriod(printPeriod(p))).toEqual(p);
  for (const text of [null, "", "year", "5-3", "1763769600001-1763769600000"]) expect(parsePeriod(text)).toBeNull();
});

test("this shift ends now, the last one has ended", () => {
  const now = MIDNIGHT + 9 * HOUR;
  expect(spanOf("shift", SHIFTS, now, zone)).toEqual({ start: MIDNIGHT + 8 * HOUR, end: now, grows: true });
  expect(spanOf("last", SHIFTS, now, zone)).toEqual({ start: MIDNIGHT - 4 * HOUR, end: MIDNIGHT + 8 * HOUR, grows: false });
});

test("a night shift counts for the day that it began on, and so does the day", () => {
  expect(spanOf("day", SHIFTS, MIDNIGHT + 3 * HOUR, zone)?.start).toBe(MIDNIGHT - 16 * HOUR);
  expect(spanOf("day", SHIFTS, MIDNIGHT + 9 * HOUR, zone)?.start).toBe(MIDNIGHT + 8 * HOUR);
  expect(spanOf("day", [], MIDNIGHT + 9 * HOUR, zone)?.start).toBe(MIDNIGHT);
});

test("where no shift is, there is no span", () => {
  expect(spanOf("shift", [], MIDNIGHT, zone)).toBeNull();
  expect(spanOf("shift", [shift("2026-11-22", 8, 12, false)], MIDNIGHT + 9 * HOUR, zone)).toBeNull();
  expect(spanOf({ from: MIDNIGHT + HOUR, to: MIDNIGHT + 2 * HOUR }, [], MIDNIGHT, zone)).toBeNull();
});

test("each loss hangs where the last one ended; one that gains goes up", () => {
  const name = (label: { en: string }): string => label.en;
  const loss = (key: string, seconds: number) => ({ key, name: { zh: key, en: key }, seconds });
  const row = { times: { pbt_s: 100 } as never, losses: [loss("down", 30), loss("speed", -5), loss("scrap", 10)] };
  expect(stepsOf(row, "PBT", "good", name).map((s) => [s.name, s.from, s.seconds])).toEqual([
    ["PBT", 0, 100],
    ["down", 70, 30],
    ["speed", 70, -5],
    ["scrap", 65, 10],
    ["good", 0, 65],
  ]);
});
