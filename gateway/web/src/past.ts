/** The whole plant as of the moment that the page shows: one question, the newest wins. */

import { computed, effect, signal } from "@preact/signals";

import { ApiError, api } from "./api";
import { past } from "./live";
import { ended, plant, session } from "./plant";
import { NEVER, type Sample } from "./quality";
import { at, whenKey } from "./when";

/** Why the moment cannot be shown; null: it can, or is being asked for. */
export const pastError = signal<ApiError | null>(null);
/** Which moment the values in the page are of; not yet the one asked for while that is fetched. */
const filled = signal("live");
export const pastBusy = computed(() => whenKey.value !== filled.value && pastError.value === null);
/** Nothing of the past is here yet: then the page shows no values at all. */
export const pastEmpty = computed(() => at.value !== null && past.value === null);

const turn = signal(0);
export const askAgain = (): void => {
  turn.value += 1;
};

let asking: AbortController | null = null;

async function ask(moment: number, key: string): Promise<void> {
  asking = new AbortController();
  const mine = asking;
  try {
    const reply = await api.asOf(moment, mine.signal);
    if (at.peek() === null) return;
    const found = new Map<string, Sample>();
    reply.paths.forEach((path, i) => {
      const time = reply.source_time[i] ?? 0;
      found.set(path, time === 0 ? NEVER : { value: reply.value[i] ?? null, status: (reply.status[i] ?? 0) >>> 0, time });
    });
    past.value = found;
    filled.value = key;
    pastError.value = null;
  } catch (error) {
    if (mine.signal.aborted || ended(error)) return;
    if (!(error instanceof ApiError)) throw error;
    past.value = null;
    pastError.value = error;
  } finally {
    if (asking === mine) asking = null;
    // Somebody moved on meanwhile.
    const now = at.peek();
    if (now !== null && whenKey.peek() !== key) void ask(now, whenKey.peek());
  }
}

effect(() => {
  const key = whenKey.value;
  const moment = at.peek();
  void turn.value;
  const inside = session.value.state === "in" && plant.value.assets.length > 0;
  if (moment === null) {
    asking?.abort();
    past.value = null;
    pastError.value = null;
    filled.value = "live";
  } else if (inside && asking === null) {
    pastError.value = null;
    void ask(moment, key);
  }
});
