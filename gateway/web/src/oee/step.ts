/** The steps of a waterfall. */

import type { Kpi } from "../api";

export interface Step {
  readonly key: string;
  readonly name: string;
  readonly seconds: number;
  /** Where the bar begins, in s. */
  readonly from: number;
  readonly whole: boolean;
}

/** The bars: what there was, each loss hanging below the one before, and what is left. */
export function stepsOf(row: Pick<Kpi, "losses" | "times">, first: string, last: string, name: (label: Kpi["name"]) => string): Step[] {
  const total = row.times.pbt_s;
  const out: Step[] = [{ key: "pbt", name: first, seconds: total, from: 0, whole: true }];
  let left = total;
  for (const loss of row.losses) {
    out.push({ key: loss.key, name: name(loss.name), seconds: loss.seconds, from: Math.min(left, left - loss.seconds), whole: false });
    left -= loss.seconds;
  }
  out.push({ key: "left", name: last, seconds: left, from: Math.min(0, left), whole: true });
  return out;
}
