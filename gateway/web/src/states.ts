/** State histories: the last hours of each state signal, fetched once, then carried on by live values. */

import { computed, effect, type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals";

import { api, type Run } from "./api";
import { extendRuns, runAt } from "./band";
import { plantNow, tick } from "./clock";
import { cell, connection } from "./live";
import { ended } from "./plant";

/** The shift that pages look back over. */
export const LOOK_BACK_MS = 8 * 3_600_000;
const AGAIN_MS = 300_000;

interface Store {
  readonly fetched: Signal<readonly Run[] | null>;
  readonly failed: Signal<boolean>;
  readonly runs: ReadonlySignal<readonly Run[]>;
}

const stores = new Map<string, Store>();

function build(path: string): Store {
  const fetched = signal<readonly Run[] | null>(null);
  const failed = signal(false);
  const live = cell(path);
  // What live values added since the fetch is folded in, so a state that came and went is kept.
  effect(() => {
    const sample = live.value;
    if (sample.time === 0) return;
    const known = untracked(() => fetched.value);
    if (known !== null) fetched.value = extendRuns(known, sample, sample.time);
  });
  const runs = computed(() => extendRuns(fetched.value ?? [], live.value, tick.value));
  let asking = false;
  const ask = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    const now = plantNow();
    try {
      const reply = await api.states(path, now - LOOK_BACK_MS, now);
      const sample = live.peek();
      fetched.value = sample.time === 0 ? reply.runs : extendRuns(reply.runs, sample, Math.max(now, sample.time));
      failed.value = false;
    } catch (error) {
      failed.value = true;
      if (!ended(error) && !(error instanceof Error)) throw error;
    } finally {
      asking = false;
    }
  };
  let asked = -Infinity;
  effect(() => {
    void tick.value;
    const there = connection.value.state === "live";
    const due = performance.now() - asked > (untracked(() => failed.value) ? 10_000 : AGAIN_MS);
    if (there && due && !document.hidden) {
      asked = performance.now();
      void ask();
    }
  });
  return { fetched, failed, runs };
}

function store(path: string): Store {
  let found = stores.get(path);
  if (found === undefined) stores.set(path, (found = untracked(() => build(path))));
  return found;
}

/** Runs of the last eight hours, the last one lasting until now. */
export function stateRuns(path: string): ReadonlySignal<readonly Run[]> {
  return store(path).runs;
}

export function statesFailed(path: string): ReadonlySignal<boolean> {
  return store(path).failed;
}

/** Since when the present state holds; null where that is not known. */
export function stateSince(path: string): number | null {
  const known = store(path).fetched.value;
  if (known === null) return null;
  const run = runAt(stateRuns(path).value, tick.value);
  return run === null ? null : run.start;
}
