/** The shifts around the moment shown. */

import type { Signal } from "@preact/signals";

import { api, type Shifts } from "./api";
import { type Fetched, useFetched } from "./fetched";
import { plant } from "./plant";
import { WEEK_MS } from "./shift";
import { pageNow } from "./when";

const DAY_MS = 86_400_000;

export function useShifts(): Signal<Fetched<Shifts>> {
  const asked = plant.value.calendar === true;
  return useFetched<Shifts>(
    asked ? "shifts" : null,
    (abort) => api.shifts(pageNow() - WEEK_MS - DAY_MS, pageNow() + DAY_MS, abort),
    600,
  );
}
