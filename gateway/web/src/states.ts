/** State histories: the last hours of each state signal before the moment shown; live values carry them on. */

import { computed, effect, type ReadonlySignal, type Signal, signal, untracked } from "@preact/signals";

import { api, type Run } from "./api";
import { extendRuns, runAt } from "./band";
import { cell, connection } from "./live";
import { assetOf, ended, signalAt } from "./plant";
import { at, pageNow, tick, whenKey } from "./when";

/** The shift that pages look back over. */
export const LOOK_BACK_MS = 8 * 3_600_000;
const AGAIN_MS = 120_000;
const SETTLE_MS = 200;

/** Rises when a reason, a product or a mode was told: what depends on it is asked again. */
export const toldTurn = signal(0);

interface Store {
  readonly fetched: Signal<readonly Run[] | null>;
  readonly failed: Signal<boolean>;
  readonly runs: ReadonlySignal<readonly Run[]>;
}

const stores = new Map<string, Store>();

/** Whether a person can say why it stood: the state of a machine or a utility. */
export function canBeTold(path: string): boolean {
  const found = signalAt(path);
  return found?.signal.id === "state" && ["machine", "utility"].includes(assetOf(found.asset.id)?.role ?? "");
}

/** The runs of a state over a range, as far as the page may know; machines tell their reasons as well. */
export function fetchRuns(path: string, start: number, end: number, abort?: AbortSignal): Promise<readonly Run[]> {
  const asset = signalAt(path)?.asset.id;
  if (asset !== undefined && canBeTold(path)) return api.runs(asset, start, end, abort);
  return api.states(path, start, end, abort).then((reply) => reply.runs);
}

function build(path: string): Store {
  const fetched = signal<readonly Run[] | null>(null);
  const failed = signal(false);
  const sampleOf = cell(path);
  // What live values added since the fetch is folded in, so a state that came and went is kept.
  effect(() => {
    const sample = sampleOf.value;
    if (sample.time === 0 || at.value !== null) return;
    const known = untracked(() => fetched.value);
    if (known !== null) fetched.value = extendRuns(known, sample, sample.time);
  });
  const runs = computed(() =>
    at.value === null ? extendRuns(fetched.value ?? [], sampleOf.value, tick.value) : (fetched.value ?? []),
  );
  let asking: AbortController | null = null;
  const ask = async (): Promise<void> => {
    asking?.abort();
    const mine = new AbortController();
    asking = mine;
    const now = pageNow();
    const live = at.peek() === null;
    try {
      const reply = await fetchRuns(path, now - LOOK_BACK_MS, now, mine.signal);
      if (mine.signal.aborted) return;
      const sample = sampleOf.peek();
      fetched.value = sample.time === 0 || !live ? reply : extendRuns(reply, sample, Math.max(now, sample.time));
      failed.value = false;
    } catch (error) {
      if (mine.signal.aborted) return;
      failed.value = true;
      if (!ended(error) && !(error instanceof Error)) throw error;
    } finally {
      if (asking === mine) asking = null;
    }
  };
  let asked = -Infinity;
  let askedFor = "";
  let past = at.peek() !== null;
  effect(() => {
    void tick.value;
    const key = `${whenKey.value} ${toldTurn.value}`;
    const now = at.value !== null;
    // Between now and the past, what was known of the one is nothing of the other.
    const turned = now !== past;
    past = now;
    if (turned) untracked(() => (fetched.value = null));
    const another = key !== askedFor;
    const due = another || performance.now() - asked > (untracked(() => failed.value) ? 10_000 : AGAIN_MS);
    if ((!now && connection.value.state !== "live") || !due || document.hidden) return undefined;
    const go = (): void => {
      askedFor = key;
      asked = performance.now();
      void ask();
    };
    if (!another || !now || turned) return void go();
    const timer = setTimeout(go, SETTLE_MS);
    return () => clearTimeout(timer);
  });
  return { fetched, failed, runs };
}

function store(path: string): Store {
  let found = stores.get(path);
  if (found === undefined) stores.set(path, (found = untracked(() => build(path))));
  return found;
}

/** Runs of the last eight hours, the last one lasting until the page's now. */
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
