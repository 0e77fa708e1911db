/** The shifts around the moment shown. */

import type { Signal } from "@preact/signals";

import { api, type Shift, type Shifts } from "./api";
import { type Fetched, useFetched } from "./fetched";
import { plant } from "./plant";
import { pageNow } from "./when";

const DAY_MS = 86_400_000;
/** How far back pages look at shifts. */
export const WEEK_MS = 7 * DAY_MS;

export function useShifts(): Signal<Fetched<Shifts>> {
  const asked = plant.value.calendar === true;
  return useFetched<Shifts>(
    asked ? "shifts" : null,
    (abort) => api.shifts(pageNow() - WEEK_MS - DAY_MS, pageNow() + DAY_MS, abort),
    600,
  );
}

/** The working shift that holds at `at`. */
export function shiftAt(shifts: readonly Shift[], at: number): Shift | undefined {
  return shifts.find((s) => s.working && s.start <= at && at < s.end);
}

/** The last working shift that ended by `at`. */
export function shiftBefore(shifts: readonly Shift[], at: number): Shift | undefined {
  return shifts.findLast((s) => s.working && s.end <= at);
}
