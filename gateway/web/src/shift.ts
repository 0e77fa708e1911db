/** Which shift a moment lies in. */

import type { Shift } from "./api";

/** How far back pages look at shifts. */
export const WEEK_MS = 7 * 86_400_000;

/** The working shift that holds at `at`. */
export function shiftAt(shifts: readonly Shift[], at: number): Shift | undefined {
  return shifts.find((s) => s.working && s.start <= at && at < s.end);
}

/** The last working shift that ended by `at`. */
export function shiftBefore(shifts: readonly Shift[], at: number): Shift | undefined {
  return shifts.findLast((s) => s.working && s.end <= at);
}
