import { describe, expect, test } from "vitest";

import { printCoverage, printDuration, printNumber, printUnit, printShare } from "../src/number";

describe("printNumber", () => {
  test.each([
    [12.345, 1, "12.3"],
    [1234.5, 1, "1234.5"],
    [12345.6, 1, "12\u202f345.6"],
    [1234567, 0, "1\u202f234\u202f567"],
    [-3.2, 1, "\u22123.2"],
    [-0.01, 1, "0.0"],
    [0, 2, "0.00"],
    [null, 1, "--"],
    [Number.NaN, 1, "--"],
  ])("%s with %i decimals is %s", (value, decimals, text) => expect(printNumber(value, decimals)).toBe(text));
});

test("a share", () => {
  expect(printShare(0.9743)).toBe("97.4\u202f%");
  expect(printShare(null)).toBe("--");
});

describe("printDuration", () => {
  const words = { s: "s", min: "min", h: "h", d: "d", gap: " " };
  test.each([
    [0, "0 s"],
    [59_400, "59 s"],
    [100_000, "1 min 40 s"],
    [120_000, "2 min"],
    [754_000, "12 min"],
    [3_600_000, "1 h"],
    [5_940_000, "1 h 39 min"],
    [12_000_000, "3 h 20 min"],
    [8 * 3_600_000, "8 h"],
    [187_200_000, "2 d 4 h"],
    [-5, "0 s"],
  ])("%i ms is %s", (ms, text) => expect(printDuration(ms, words)).toBe(text));
});

test("coverage is never rounded up", () => {
  expect([0.7997, 0.8, 0.049, 1, 0.29].map(printCoverage)).toEqual(["79.9", "80.0", "4.9", "100.0", "29.0"].map((n) => `${n}\u202f%`));
});

test("units are printed with their powers", () => {
  const printed = ["degC", "m3/h", "m/s2", "kgf/cm2", "Nm3/h", "mmH2O", "ft3", "kW", "dB(A)", "1/min"].map(printUnit);
  expect(printed).toEqual(["°C", "m³/h", "m/s²", "kgf/cm²", "Nm³/h", "mmH2O", "ft³", "kW", "dB(A)", "min⁻¹"]);
});
