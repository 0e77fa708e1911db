/** Which time a figure is of: the shift, the last one, the day, seven days, or any from and to. */

import type { Shift } from "../api";
import { shiftAt, shiftBefore, WEEK_MS } from "../shift";
import type { Zone } from "../zone";

export const PERIODS = ["shift", "last", "day", "week"] as const;
export type Named = (typeof PERIODS)[number];
export type Period = Named | { readonly from: number; readonly to: number };

export interface Span {
  readonly start: number;
  readonly end: number;
  /** It ends now and grows: ask again. */
  readonly grows: boolean;
}

/** The period that an address names; null: none. */
export function parsePeriod(text: string | null): Period | null {
  const named = PERIODS.find((p) => p === text);
  if (named !== undefined) return named;
  const match = /^(\d{10,15})-(\d{10,15})$/.exec(text ?? "");
  const [from, to] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && from < to ? { from, to } : null;
}

export function printPeriod(period: Period): string {
  return typeof period === "string" ? period : `${Math.round(period.from)}-${Math.round(period.to)}`;
}

/** The time that a period means at `now`, never beyond it; null: there is no such shift. */
export function spanOf(period: Period, shifts: readonly Shift[], now: number, zone: Zone): Span | null {
  const until = (start: number, end: number): Span | null =>
    start >= Math.min(end, now) ? null : { start, end: Math.min(end, now), grows: end > now };
  if (typeof period !== "string") return until(period.from, period.to);
  const here = shiftAt(shifts, now);
  switch (period) {
    case "shift":
      return here === undefined ? null : until(here.start, here.end);
    case "last": {
      const before = shiftBefore(shifts, now);
      return before === undefined ? null : until(before.start, before.end);
    }
    case "day": {
      // A night shift counts for the day it began on, so the day is that of the shift.
      const date = here?.date ?? zone.date(now);
      const first = shifts.find((s) => s.working && s.date === date);
      const midnight = zone.parse("00:00", now) ?? now - WEEK_MS / 7;
      return until(Math.min(now - 1, first === undefined || first.start >= now ? midnight : first.start), now + 1);
    }
    case "week": {
      const first = shifts.find((s) => s.working && s.end > now - WEEK_MS);
      const start = first?.start ?? zone.parse("00:00", now - WEEK_MS) ?? now - WEEK_MS;
      return until(start, now + 1);
    }
  }
}
