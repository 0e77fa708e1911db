import { describe, expect, test } from "vitest";

import { BAD_WAITING, judge, NEVER, severity, UNCERTAIN_SIMULATED } from "../src/quality";

const now = 1_000_000;
const around = { now, lastGoodRead: null, expected: 2000, linkLost: false };
const of = (status: number, age = 0, value: number | null = 1) => ({ value, status, time: now - age });

describe("severity", () => {
  test.each([
    [0, "good"],
    [0x00960000, "good"],
    [0x40900000, "uncertain"],
    [0x80310000, "bad"],
    [0xc0000000, "bad"],
  ])("of %i is %s", (status, level) => expect(severity(status)).toBe(level));
});

describe("judge", () => {
  test.each([
    [5999, "good"],
    [6000, "late"],
    [20_000, "late"],
    [20_001, "stale"],
  ])("age %i ms at 2 s expected is %s", (age, quality) => expect(judge(of(0, age), around).quality).toBe(quality));

  test("a good read keeps an old constant value fresh", () => {
    const judged = judge(of(0, 50_000), { ...around, lastGoodRead: now - 700 });
    expect(judged).toMatchObject({ quality: "good", age: 700 });
  });

  test("the worst wins, and a bad value is not printed", () => {
    expect(judge(of(0x808c0000, 0, null), around)).toMatchObject({ quality: "bad", shown: false });
    expect(judge(of(0x40000000, 30_000), around)).toMatchObject({ quality: "stale", tag: "uncertain", shown: true });
    expect(judge(of(0x40000000), around)).toMatchObject({ quality: "uncertain", shown: true });
    expect(judge(of(UNCERTAIN_SIMULATED), around)).toMatchObject({ quality: "sim", tag: "sim" });
  });

  test("never seen, and a lost link with its last value", () => {
    expect(judge(NEVER, around)).toMatchObject({ quality: "never", age: null, shown: false });
    expect(judge(of(BAD_WAITING), around).quality).toBe("never");
    expect(judge(of(0), { ...around, linkLost: true })).toMatchObject({ quality: "link", fresh: "stale", shown: true });
  });

  test("a clock ahead of the page gives age 0, never less", () => expect(judge(of(0, -4000), around).age).toBe(0));
});
