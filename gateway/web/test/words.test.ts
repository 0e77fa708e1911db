import { expect, test } from "vitest";

import { CATALOGUES } from "../src/words";
import { statusWords } from "../src/words/status";

// tsc already refuses a missing key; this refuses a forgotten translation.
const SAME = new Set(["csv", "perHour", "product"]);

test("both catalogues say everything, each in its own words", () => {
  const { en, zh } = CATALOGUES;
  expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) {
    const other = zh[key as keyof typeof zh];
    if (typeof text === "string") {
      expect(text, key).not.toBe("");
      expect(other, key).not.toBe("");
      if (!SAME.has(key)) expect(other, key).not.toBe(text);
    } else expect(typeof other, key).toBe("function");
  }
});

test("a status in words, and one that has no name", () => {
  expect(statusWords(CATALOGUES.en, 0x808c0000)).toBe("Sensor failure");
  expect(statusWords(CATALOGUES.zh, 0x80310000)).toBe("通信中断");
  expect(statusWords(CATALOGUES.en, 0x80ff0001)).toBe("Bad (0x80FF0000)");
});
