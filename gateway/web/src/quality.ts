/**
 * How fresh and how good a value is: one rule for every number on every page.
 *
 * Freshness goes by age against the expected interval (late from 3, stale from 10); severity goes by
 * the two highest bits of the OPC UA StatusCode. What is shown is the worst of them.
 */

export const GOOD = 0;
export const UNCERTAIN_SIMULATED = 0x42090000;
export const BAD_WAITING = 0x80320000;
export const BAD_NO_COMMUNICATION = 0x80310000;

export interface Sample {
  readonly value: number | null;
  readonly status: number;
  /** ms UTC of the value; 0: never seen. */
  readonly time: number;
}

export const NEVER: Sample = { value: null, status: BAD_WAITING, time: 0 };

export type Severity = "good" | "uncertain" | "bad";
export type Freshness = "good" | "late" | "stale";
export type Quality = "good" | "late" | "stale" | "uncertain" | "sim" | "bad" | "link" | "never";

export interface Judgement {
  /** The worst there is to say. */
  readonly quality: Quality;
  readonly fresh: Freshness;
  /** A word to put before the value although it is shown. */
  readonly tag: "uncertain" | "sim" | null;
  /** ms since the value was last known to be true; null: never. */
  readonly age: number | null;
  /** Whether the value itself may be printed. */
  readonly shown: boolean;
}

/** Severity of a StatusCode; the reserved severity 11 counts as bad. */
export function severity(status: number): Severity {
  const bits = status >>> 30;
  return bits === 0 ? "good" : bits === 1 ? "uncertain" : "bad";
}

/** The code without its info bits, so that a name can be looked up. */
export function subcode(status: number): number {
  return (status & 0xffff0000) >>> 0;
}

export interface Circumstance {
  readonly now: number;
  /** ms UTC of the device's last good read; null: it says none. */
  readonly lastGoodRead: number | null;
  /** ms in which a new word is due. */
  readonly expected: number;
  readonly linkLost: boolean;
}

/** Judge a sample. Never seen, then bad, lost link, stale, late, uncertain, simulated, good. */
export function judge(sample: Sample, around: Circumstance): Judgement {
  const level = severity(sample.status);
  const seen = sample.time > 0;
  const age = seen ? Math.max(0, around.now - Math.max(sample.time, around.lastGoodRead ?? 0)) : null;
  const tag = level !== "uncertain" ? null : subcode(sample.status) === UNCERTAIN_SIMULATED ? "sim" : "uncertain";
  if (!seen || subcode(sample.status) === BAD_WAITING) {
    return { quality: "never", fresh: "stale", tag: null, age: null, shown: false };
  }
  const fresh: Freshness =
    around.linkLost || age === null || age > 10 * around.expected
      ? "stale"
      : age >= 3 * around.expected
        ? "late"
        : "good";
  if (around.linkLost) return { quality: "link", fresh, tag, age, shown: sample.value !== null && level !== "bad" };
  if (level === "bad" || sample.value === null) return { quality: "bad", fresh, tag: null, age, shown: false };
  const quality: Quality = fresh !== "good" ? fresh : (tag ?? "good");
  return { quality, fresh, tag, age, shown: true };
}
