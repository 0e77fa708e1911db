/** Data that a part of a page fetches: kept while it is fetched anew, asked again now and then. */

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { ApiError } from "./api";
import { pulse } from "./clock";
import { connection } from "./live";
import { ended } from "./plant";

export type Fetched<T> =
  | { readonly state: "loading" }
  /** `stale`: this is from before, and the newest try failed. */
  | { readonly state: "here"; readonly data: T; readonly stale: boolean }
  | { readonly state: "failed"; readonly error: ApiError };

/** How to show it: `old` where the newest try failed and this is from before. */
export function ageClass(fetched: Fetched<unknown>): string {
  return fetched.state === "here" && fetched.stale ? "old" : "";
}

/** Fetch when `key` changes and each `everyS` seconds while the page is seen; null key: not now. */
export function useFetched<T>(
  key: string | null,
  ask: (abort: AbortSignal) => Promise<T>,
  everyS = 60,
): Signal<Fetched<T>> {
  const state = useSignal<Fetched<T>>({ state: "loading" });
  useEffect(() => {
    if (key === null) return undefined;
    let abort = new AbortController();
    let busy = false;
    state.value = { state: "loading" };
    const run = async (): Promise<void> => {
      if (busy) return;
      busy = true;
      abort = new AbortController();
      try {
        state.value = { state: "here", data: await ask(abort.signal), stale: false };
      } catch (error) {
        if (abort.signal.aborted) return;
        if (ended(error)) return;
        if (!(error instanceof ApiError)) throw error;
        const had = state.peek();
        state.value = had.state === "here" ? { ...had, stale: true } : { state: "failed", error };
      } finally {
        busy = false;
      }
    };
    let last = pulse.peek();
    void run();
    const stop = pulse.subscribe((now) => {
      const wait = state.peek().state === "here" ? everyS : Math.min(everyS, 10);
      if (now - last < wait || connection.peek().state === "lost") return;
      last = now;
      void run();
    });
    return () => {
      stop();
      abort.abort();
    };
  }, [key]);
  return state;
}
