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

/** Where somebody asked to set what a line or machine makes; null: nowhere. */
export const choosing = signal<{ readonly asset: Asset; readonly product: string | null } | null>(null);
