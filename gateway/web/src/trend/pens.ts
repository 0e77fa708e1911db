/** Which signals are drawn, with which ink. */

import type { Asset, Signal } from "../api";
import { signalAt, signalOf } from "../plant";

export const MOST_PENS = 6;
export const DASHES: readonly (readonly number[])[] = [[], [7, 3], [2, 2], [10, 3, 2, 3], [4, 4], [1, 3]];

export interface Pen {
  readonly path: string;
  readonly signal: Signal;
  readonly asset: Asset;
  /** 1..6 */
  readonly ink: number;
  /** Place among the pens of its lane, 0 first: the dash goes by it. */
  readonly dash: number;
}

const FIRST = ["power", "vibration", "tank_temperature", "pressure", "spindle_speed", "good_count", "part_count"];

/** What is drawn when nobody chose: up to two of what tells most about the machine. */
export function defaultPens(asset: Asset): string[] {
  const found = FIRST.map((id) => signalOf(asset, id)).filter((s) => s !== undefined);
  const others = asset.signals.filter((s) => s.kind === "measurement" && s.id !== "last_good_read");
  return [...new Set([...found, ...others].map((s) => s.path))].slice(0, 2);
}

/** The pens that an address names; unknown paths and texts are left out. */
export function pensOf(text: string | null, asset: Asset): Pen[] {
  const paths = text === null ? defaultPens(asset) : text.split(",").filter((p) => p !== "");
  return [...new Set(paths)].slice(0, MOST_PENS).flatMap((path, i) => {
    const found = signalAt(path);
    return found === undefined || found.signal.kind === "text" ? [] : [{ path, ...found, ink: i + 1, dash: 0 }];
  });
}

function laneKey(s: Signal): string {
  return s.unit === "" ? `${s.kind}:${s.id.replace(/_limit$/, "")}` : s.unit;
}

export interface Lane {
  readonly key: string;
  readonly unit: string;
  readonly pens: readonly Pen[];
}

/** Pens that share a unit share a lane; each state has one of its own. */
export function lanesOf(pens: readonly Pen[]): { charts: Lane[]; bands: Pen[] } {
  const charts = new Map<string, Pen[]>();
  const bands: Pen[] = [];
  for (const pen of pens) {
    if (pen.signal.kind === "state") bands.push(pen);
    else {
      const key = laneKey(pen.signal);
      const had = charts.get(key) ?? [];
      charts.set(key, [...had, { ...pen, dash: had.length }]);
    }
  }
  return { charts: [...charts].map(([key, own]) => ({ key, unit: own[0]?.signal.unit ?? "", pens: own })), bands };
}
