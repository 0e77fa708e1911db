import { describe, expect, test } from "vitest";

import { axisLabel, axisTimes, openZone } from "../src/zone";

const noon = Date.UTC(2026, 10, 22, 4, 3, 7, 250);

describe("plant time", () => {
  test("in Shanghai, whatever the browser's zone", () => {
    const zone = openZone("Asia/Shanghai");
    expect(zone.clock(noon)).toBe("12:03:07");
    expect(zone.date(Date.UTC(2026, 10, 22, 16, 0))).toBe("2026-11-23");
    expect(zone.clock(Date.UTC(2026, 10, 22, 16, 0))).toBe("00:00:00");
    expect(zone.stamp(noon)).toBe("2026-11-22 12:03:07.250+08:00");
    expect(zone.moment(noon - 86_400_000, noon)).toBe("11-21 12:03:07");
  });

  test("over the change to summer time, and with half hours", () => {
    const berlin = openZone("Europe/Berlin");
    expect(berlin.clock(Date.UTC(2026, 2, 29, 0, 59, 59))).toBe("01:59:59");
    expect(berlin.clock(Date.UTC(2026, 2, 29, 1, 0, 0))).toBe("03:00:00");
    expect(openZone("Asia/Kolkata").minute(noon)).toBe("09:33");
    expect(openZone("America/St_Johns").stamp(noon)).toBe("2026-11-22 00:33:07.250-03:30");
  });

  test("an unknown zone is UTC and says so", () => expect(openZone("Mars/Olympus").name).toBe("UTC"));
});

describe("axis", () => {
  const zone = openZone("Asia/Shanghai");
  test("round plant times, few enough", () => {
    const { times, step } = axisTimes(zone, noon, noon + 8 * 3_600_000, 9);
    expect(step).toBe(3_600_000);
    expect(times.map((t) => axisLabel(zone, t, step)).slice(0, 2)).toEqual(["13:00", "14:00"]);
    expect(times.length).toBeLessThanOrEqual(9);
  });
  test("days begin at the plant's midnight", () => {
    const { times, step } = axisTimes(zone, noon, noon + 5 * 86_400_000, 6);
    expect(axisLabel(zone, times[0] ?? 0, step)).toBe("11-23");
    expect(zone.clock(times[0] ?? 0)).toBe("00:00:00");
  });
});

test("what a person writes is plant time", () => {
  const zone = openZone("Asia/Shanghai");
  const noon = Date.UTC(2026, 10, 22, 4, 0, 0);
  for (const text of ["2026-11-22 12:00:00", "2026-11-22T12:00", " 2026/11/22 12:00", "11-22 12:00", "12:00"]) expect(zone.parse(text, noon + 60_000), text).toBe(noon);
  expect(zone.parse(zone.local(noon + 7000), 0)).toBe(noon + 7000);
  for (const text of ["", "now", "2026-02-30 12:00", "2026-13-01 12:00", "25:00", "12:61", "2026-11-22"]) expect(zone.parse(text, noon), text).toBeNull();
});

test("a moment around the change of summer time is found", () => {
  const zone = openZone("Europe/Berlin");
  for (const ms of [Date.UTC(2026, 2, 29, 0, 30), Date.UTC(2026, 2, 29, 1, 30), Date.UTC(2026, 9, 25, 3, 30)]) expect(zone.parse(zone.local(ms), ms)).toBe(ms);
});
