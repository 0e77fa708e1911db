import { describe, expect, test } from "vitest";

import type { History, Signal } from "../src/api";
import { append, downsampling, EMPTY, fromHistory, indexAt, isolated, plotted, shades, toCsv } from "../src/trend/series";

const signal: Signal = {
  path: "lathe/power",
  id: "power",
  name: { zh: "功率", en: "Power" },
  kind: "measurement",
  unit: "kW",
  decimals: 1,
  range: null,
  states: {},
  origin: "edge",
  estimated: false,
  max_interval: 1,
};

const reply = (time: number[], value: (number | null)[], status: number[] = time.map(() => 0)): History => ({
  path: signal.path,
  kind: "measurement",
  start: 0,
  end: 10_000,
  tier: "raw",
  bucket_ms: 0,
  raw_count: time.length,
  time,
  value,
  status,
});

describe("series", () => {
  test("a silence is a gap, and the newest value holds until now while it is young", () => {
    const series = fromHistory(reply([0, 1000, 9000], [1, 2, 3]));
    expect(plotted(series, signal, 10_000)).toEqual([
      [0, 1000, 1001, 9000, 10_000],
      [1, 2, null, 3, 3],
    ]);
    expect(plotted(series, signal, 99_000)[0].at(-1)).toBe(9000);
  });

  test("live samples are appended once, in order, bad ones as gaps", () => {
    let series = fromHistory(reply([0, 1000], [1, 2]));
    series = append(series, { value: 3, status: 0, time: 2000 });
    series = append(series, { value: 9, status: 0, time: 1500 });
    series = append(series, { value: null, status: 0x80310000, time: 3000 });
    expect(series.time).toEqual([0, 1000, 2000, 3000]);
    expect(series.value).toEqual([1, 2, 3, null]);
  });

  test("what begins without history shares nothing with another signal", () => {
    const one = append(EMPTY, { value: 3, status: 0, time: 2000 });
    const other = append(EMPTY, { value: 220, status: 0, time: 1000 });
    expect([one.value, other.value, EMPTY.value]).toEqual([[3], [220], []]);
  });

  test("points between two gaps are found; where another pen was sampled is no gap", () => {
    expect(isolated([1, null, 2, undefined, null, 3, undefined, 4, null, null, 5])).toEqual([0, 2, 10]);
  });

  test("a newer reply keeps what came live after it", () => {
    const live = append(fromHistory(reply([0], [1])), { value: 5, status: 0, time: 12_000 });
    expect(fromHistory(reply([0, 4000], [1, 2]), live).time).toEqual([0, 4000, 12_000]);
  });

  test("uncertain is shaded until the silence limit, bad until the next point", () => {
    const series = fromHistory(reply([0, 1000, 2000, 8000], [1, 2, null, 4], [0x40000000, 0x40000000, 0x808c0000, 0]));
    expect(shades(series, signal, null)).toEqual([
      { start: 0, end: 2000, severity: "uncertain" },
      { start: 2000, end: 8000, severity: "bad" },
    ]);
  });

  test("how many rows stand behind one", () => {
    expect(downsampling(fromHistory({ ...reply([0, 1], [1, 2]), bucket_ms: 5, raw_count: 700 }))).toBe(350);
    expect(downsampling(fromHistory(reply([0, 1], [1, 2])))).toBe(1);
  });

  test("index at a moment", () => {
    expect([-1, 0, 5, 10, 99].map((t) => indexAt([0, 10], t))).toEqual([-1, 0, 0, 1, 1]);
  });
});

test("CSV: a row per moment, names quoted, bad cells empty with their status", () => {
  const a = fromHistory(reply([0, 1000], [1.5, null], [0, 0x80310000]));
  const b = fromHistory(reply([1000], [7]));
  const text = toCsv(
    [
      { name: 'Power, "main"', unit: "kW", series: a },
      { name: "Speed", unit: "", series: b },
    ],
    0,
    5000,
    (ms) => `t${ms}`,
    { time: "Time", status: "Quality" },
  );
  expect(text.split("\r\n")).toEqual([
    'Time,UTC ms,"Power, ""main"" [kW]","Power, ""main"" Quality",Speed,Speed Quality',
    "t0,0,1.5,0x00000000,,",
    "t1000,1000,,0x80310000,7,0x00000000",
    "",
  ]);
});
