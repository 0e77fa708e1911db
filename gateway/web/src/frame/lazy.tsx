/** Pages that are fetched when they are first opened. */

import { type Signal, signal } from "@preact/signals";
import type { ComponentType } from "preact";

import { words } from "../locale";
import { Blank, Loading } from "../part/Blank";

export interface Lazy<P> {
  readonly ask: () => void;
  readonly found: Signal<ComponentType<P> | "waiting" | "failed">;
}

export function lazy<P>(load: () => Promise<ComponentType<P>>): Lazy<P> {
  const found = signal<ComponentType<P> | "waiting" | "failed">("waiting");
  let asked = false;
  const ask = (): void => {
    if (asked) return;
    asked = true;
    load().then(
      (component) => (found.value = component),
      () => {
        asked = false;
        found.value = "failed";
      },
    );
  };
  return { ask, found };
}

export function Suspense<P extends object>({ of, props }: { of: Lazy<P>; props: P }) {
  of.ask();
  const Found = of.found.value;
  if (Found === "waiting") return <Loading />;
  if (Found === "failed") {
    return (
      <Blank title={words.value.loadFailed} hint={words.value.noAnswer}>
        <button type="button" onClick={() => location.reload()}>
          {words.value.tryAgain}
        </button>
      </Blank>
    );
  }
  return <Found {...props} />;
}

/** Without a place of its own in the page: nothing until it is here. */
export function Unplaced({ of }: { of: Lazy<object> }) {
  of.ask();
  const Found = of.found.value;
  return typeof Found === "string" ? null : <Found />;
}
