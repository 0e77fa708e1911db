/** The run that somebody opened, on whatever page; null: none. */

import { signal } from "@preact/signals";

import type { Asset, Run, Signal } from "../api";

export interface Opened {
  readonly asset: Asset;
  readonly signal: Signal;
  readonly run: Run;
  /** The whole stop; the run is a part of it where people said different things of its parts. */
  readonly stop: { readonly start: number; readonly end: number };
}

export const opened = signal<Opened | null>(null);

/** Of what somebody asked to state the product or the mode, and what is stated now; null: nowhere. */
export const choosing = signal<{ readonly kind: "product" | "mode"; readonly asset: Asset; readonly word: string | null } | null>(null);
