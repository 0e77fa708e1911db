/** State bands: runs of states made into what fits the pixels, and the time each state took. */

import type { Run } from "./api";

/** How a state looks: luminance and pattern, never a hue. */
export type Look = "running" | "idle" | "blocked" | "changing" | "stopped" | "held" | "down" | "unknown";

/** Drawn from the bottom up where several share a column. */
export const LOOKS: readonly Look[] = [
  "running",
  "idle",
  "blocked",
  "changing",
  "stopped",
  "held",
  "down",
  "unknown",
];

const PACKML: Readonly<Record<number, Look>> = {
  1: "changing",
  2: "stopped",
  3: "changing",
  4: "idle",
  5: "blocked",
  6: "running",
  7: "changing",
  8: "down",
  9: "down",
  10: "held",
  11: "held",
  12: "changing",
  13: "blocked",
  14: "changing",
  15: "changing",
  16: "running",
  17: "idle",
};

/** The look of a PackML state number; anything else is unknown. */
export function packmlLook(state: number | null): Look {
  return state === null ? "unknown" : (PACKML[state] ?? "unknown");
}

const PLAIN: readonly Look[] = ["stopped", "idle", "running", "changing", "blocked", "held"];

/** The look of a state that is not PackML: a grey by its number, no meaning implied. */
export function plainLook(state: number | null): Look {
  return state === null || state < 0 ? "unknown" : (PLAIN[Math.round(state) % PLAIN.length] ?? "unknown");
}

export interface Span {
  readonly from: number;
  readonly to: number;
  /** Shares of one, largest look last drawn; one entry: the whole span is that state. */
  readonly share: readonly { readonly look: Look; readonly part: number }[];
}

/**
 * Runs as spans of pixels over [start, end) on `width` px.
 *
 * A run of at least `least` px is drawn as it is. Shorter ones are gathered into spans of up to twice
 * that, which tell the share of each look, so that short stops thin out but never vanish.
 */
export function mergeRuns(
  runs: readonly Run[],
  start: number,
  end: number,
  width: number,
  look: (run: Run) => Look,
  least = 3,
): Span[] {
  const scale = width / (end - start);
  const spans: Span[] = [];
  let gathered = new Map<Look, number>();
  let from = 0;
  let to = 0;
  const flush = (): void => {
    const total = [...gathered.values()].reduce((a, b) => a + b, 0);
    if (total > 0) {
      const share = LOOKS.filter((l) => gathered.has(l)).map((l) => ({ look: l, part: (gathered.get(l) ?? 0) / total }));
      spans.push({ from, to, share });
    }
    gathered = new Map();
  };
  for (const run of runs) {
    const a = (Math.max(run.start, start) - start) * scale;
    const b = (Math.min(run.end, end) - start) * scale;
    if (b <= a) continue;
    const kind = look(run);
    if (b - a >= least) {
      flush();
      const last = spans[spans.length - 1];
      const same = last !== undefined && last.to === a && last.share.length === 1 && last.share[0]?.look === kind;
      if (same) spans[spans.length - 1] = { from: last.from, to: b, share: last.share };
      else spans.push({ from: a, to: b, share: [{ look: kind, part: 1 }] });
      continue;
    }
    if (gathered.size > 0 && (b - from > 2 * least || a - to > 0.01)) flush();
    if (gathered.size === 0) from = a;
    to = b;
    gathered.set(kind, (gathered.get(kind) ?? 0) + (b - a));
  }
  flush();
  return spans;
}

/** ms in each state within [start, end); null stands for unknown. */
export function totals(runs: readonly Run[], start: number, end: number): Map<number | null, number> {
  const sum = new Map<number | null, number>();
  for (const run of runs) {
    const ms = Math.min(run.end, end) - Math.max(run.start, start);
    if (ms > 0) sum.set(run.state, (sum.get(run.state) ?? 0) + ms);
  }
  return sum;
}

/** Runs with a newer state put at their end: the last run lasts until now, always. */
export function extendRuns(
  runs: readonly Run[],
  sample: { readonly value: number | null; readonly status: number; readonly time: number },
  now: number,
): Run[] {
  const out = runs.slice();
  const last = out[out.length - 1];
  if (last === undefined) {
    return sample.time > 0 ? [{ start: sample.time, end: now, state: sample.value, status: sample.status }] : out;
  }
  if (sample.time > last.start && sample.value !== last.state) {
    out[out.length - 1] = { ...last, end: sample.time };
    const next: Run = { start: sample.time, end: Math.max(now, sample.time), state: sample.value, status: sample.status };
    // Of a run that has just begun nothing was told yet, but it can be.
    out.push(last.told === undefined ? next : { ...next, told: { waiting: null, mode: last.told.mode, reason: null, former: [] } });
  } else {
    out[out.length - 1] = { ...last, end: Math.max(last.end, now) };
  }
  return out;
}

/** The run that holds at `at`, null where none does. */
export function runAt(runs: readonly Run[], at: number): Run | null {
  for (let i = runs.length - 1; i >= 0; i--) {
    const run = runs[i];
    if (run !== undefined && run.start <= at && at <= run.end) return run;
  }
  return null;
}

/** Whether a run is a stop that a person can give a reason for: known, and not producing. */
export function isStop(run: Run): boolean {
  return run.told !== undefined && run.state !== null && packmlLook(run.state) !== "running";
}

/** The run under a pointer: at `at`, but a stop within `reach` ms of it rather than a run. */
export function runNear(runs: readonly Run[], at: number, reach: number): Run | null {
  const here = runAt(runs, at);
  if (here === null || isStop(here)) return here;
  let best: Run | null = null;
  let nearest = reach;
  for (const run of runs) {
    const away = Math.max(run.start - at, at - run.end);
    if (away <= nearest && isStop(run)) {
      best = run;
      nearest = away;
    }
  }
  return best ?? here;
}

/** The stop that a run is of: it and its neighbours in the same state, whatever was said of parts of it. */
export function stopAround(runs: readonly Run[], run: Run): { readonly start: number; readonly end: number } {
  let { start, end } = run;
  const at = runs.findIndex((r) => r.start <= run.start && run.start < r.end);
  for (let i = at - 1; i >= 0 && runs[i]?.state === run.state && runs[i]?.end === start; i--) start = runs[i]?.start ?? start;
  for (let i = at + 1; i < runs.length && at >= 0 && runs[i]?.state === run.state && runs[i]?.start === end; i++) end = runs[i]?.end ?? end;
  return { start, end };
}
