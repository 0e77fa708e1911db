/** Data that a part of a page fetches: kept while it is fetched anew, asked again now and then. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { ApiError } from "./api";
import { pulse } from "./clock";
import { connection } from "./live";
import { ended } from "./plant";
import { at, whenKey } from "./when";

export type Fetched<T> =
  | { readonly state: "loading" }
  /** `stale`: this is from before, and the newest try failed. `busy`: it is of another moment, the right one comes. */
  | { readonly state: "here"; readonly data: T; readonly stale: boolean; readonly busy?: boolean }
  | { readonly state: "failed"; readonly error: ApiError };

/** How to show it: `old` where the newest try failed and this is from before, `busy` where it is being replaced. */
export function ageClass(fetched: Fetched<unknown>): string {
  if (fetched.state !== "here") return "";
  return fetched.stale ? "old" : fetched.busy === true ? "busy" : "";
}

/** Moving about in the past asks once the hand rests. */
const SETTLE_MS = 200;

/**
 * Fetch when `key` or the moment shown changes and each `everyS` seconds while the page is seen; null key: not now.
 *
 * From one moment of the past to another the old content stays, dimmed; between now and the past nothing does.
 */
export function useFetched<T>(
  key: string | null,
  ask: (abort: AbortSignal) => Promise<T>,
  everyS = 60,
): Signal<Fetched<T>> {
  const state = useSignal<Fetched<T>>({ state: "loading" });
  const before = useRef({ key: "", past: false });
  const newest = useRef(ask);
  newest.current = ask;
  const when = whenKey.value;
  useEffect(() => {
    if (key === null) return undefined;
    let abort = new AbortController();
    let busy = false;
    const past = at.peek() !== null;
    const had = state.peek();
    const scrubbed = past && before.current.past && before.current.key === key;
    state.value = scrubbed && had.state === "here" ? { ...had, busy: true } : { state: "loading" };
    before.current = { key, past };
    const run = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      abort = new AbortController();
      try {
        state.value = { state: "here", data: await newest.current(abort.signal), stale: false };
      } catch (error) {
        if (abort.signal.aborted) return;
        if (ended(error)) return;
        if (!(error instanceof ApiError)) throw error;
        const had = state.peek();
        const kept = had.state === "here" && had.busy !== true;
        state.value = kept ? { ...had, stale: true } : { state: "failed", error };
      } finally {
        busy = false;
      }
    };
    let last = pulse.peek();
    const timer = scrubbed ? window.setTimeout(() => void run(), SETTLE_MS) : 0;
    if (!scrubbed) void run();
    const stop = pulse.subscribe((now) => {
      const wait = state.peek().state === "here" ? everyS : Math.min(everyS, 10);
      if (now - last < wait || connection.peek().state === "lost") return;
      last = now;
      void run();
    });
    return () => {
      clearTimeout(timer);
      stop();
      abort.abort();
    };
  }, [key, when]);
  return state;
}
