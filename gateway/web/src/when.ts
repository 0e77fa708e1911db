/**
 * The one moment that the whole page shows: now, or the past "as of" a moment; and, for the past,
 * what was known when. Both are kept in the address, so a page can be sent and the browser's back works.
 */

import { computed, effect, signal } from "@preact/signals";

import { plantClock, plantNow, tick as liveTick } from "./clock";
import { query, setQuery } from "./route";

/** What the historian is asked to know: all it knows today, what it knew at the moment shown, or at another one. */
export type Known = "today" | "then" | number;

export interface When {
  /** ms UTC; null: live. */
  readonly at: number | null;
  readonly known: Known;
}

export const LIVE: When = { at: null, known: "today" };

/** The moment that an address names: `at` in ms, `known` as `then` or ms. Without `at` it is live. */
export function parseWhen(search: URLSearchParams): When {
  const at = Number(search.get("at") ?? Number.NaN);
  if (!Number.isSafeInteger(at) || at <= 0) return LIVE;
  const text = search.get("known");
  const known = Number(text ?? Number.NaN);
  return { at, known: text === "then" ? "then" : Number.isSafeInteger(known) && known > 0 ? known : "today" };
}

/** What goes into the address. */
export function printWhen(when: When): { at: string | null; known: string | null } {
  if (when.at === null) return { at: null, known: null };
  return { at: String(Math.round(when.at)), known: when.known === "today" ? null : String(when.known) };
}

const SETTLE_MS = 180;
/** A tick is this old at most. */
const AHEAD_MS = 5000;

const shown = signal<When>(parseWhen(query.peek()));
let writing = 0;

/** The moment shown, null while live. */
export const at = computed(() => shown.value.at);
export const known = computed(() => shown.value.known);
/** What every question about the past carries as `known_at`; null: all that is known today. */
export const knownAt = computed(() => {
  const { at: moment, known: asked } = shown.value;
  return moment === null || asked === "today" ? null : asked === "then" ? moment : asked;
});
/** Changes with everything that makes an answer about the past another one. */
export const whenKey = computed(() => (at.value === null ? "live" : `${at.value} ${knownAt.value ?? ""}`));

/** The page's second: it stands still while the page shows the past. Ages and windows follow it. */
export const tick = computed(() => at.value ?? liveTick.value);

/** The page's now. */
export function pageNow(): number {
  return at.peek() ?? plantNow();
}

const same = (a: When, b: When): boolean => a.at === b.at && a.known === b.known;

// The address moved (a link, back, forward): follow it.
effect(() => {
  const next = parseWhen(query.value);
  clearTimeout(writing);
  if (!same(next, shown.peek())) shown.value = next;
});

/**
 * Show another moment, never one that is still to come; null: live again.
 *
 * Leaving live and coming back are steps of the browser's history, moving about in the past is not.
 */
export function show(next: Partial<When>): void {
  const before = shown.peek();
  const asked = { ...before, ...next };
  const at = asked.at === null ? null : Math.max(1, Math.min(Math.round(asked.at), Math.floor(plantNow())));
  const when = at === null ? LIVE : { at, known: asked.known };
  if (same(when, before)) return;
  shown.value = when;
  clearTimeout(writing);
  const turn = (before.at === null) !== (at === null);
  if (turn) setQuery(printWhen(when), false);
  else writing = window.setTimeout(() => setQuery(printWhen(when), true), SETTLE_MS);
}

// An address may name what is still to come; once plant time is known, that is live.
effect(() => {
  const moment = at.value;
  const now = liveTick.value;
  if (moment !== null && plantClock.at(performance.now()) !== 0 && moment > now + AHEAD_MS) show({ at: null });
});
