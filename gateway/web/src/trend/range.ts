/** The time range of a trend: it follows now, or it stands. Kept in the address. */

import type { Window } from "../part/Band";

const HOUR_MS = 3_600_000;
const LEAST_MS = 10_000;
const MOST_MS = 400 * 24 * HOUR_MS;

export type Range =
  | { readonly live: true; readonly span: number }
  | { readonly live: false; readonly from: number; readonly to: number };

export const SPANS = [
  { key: "15m", span: HOUR_MS / 4 },
  { key: "1h", span: HOUR_MS },
  { key: "24h", span: 24 * HOUR_MS },
  { key: "7d", span: 7 * 24 * HOUR_MS },
  { key: "30d", span: 30 * 24 * HOUR_MS },
  { key: "365d", span: 365 * 24 * HOUR_MS },
] as const;

export const DEFAULT_SPAN = HOUR_MS;

const UNIT: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: HOUR_MS, d: 24 * HOUR_MS };

/** `90m` as ms; null where it is no length of time. */
export function parseSpan(text: string | null): number | null {
  const match = /^(\d+(?:\.\d+)?)([smhd])$/.exec(text ?? "");
  if (match === null) return null;
  const ms = Number(match[1]) * (UNIT[match[2] ?? ""] ?? 0);
  return ms >= LEAST_MS && ms <= MOST_MS ? ms : null;
}

export function printSpan(span: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    const one = UNIT[unit] ?? 1;
    if (span % one === 0 && (unit !== "d" || span > 48 * HOUR_MS)) return `${span / one}${unit}`;
  }
  return `${Math.round(span / 1000)}s`;
}

/** The range that an address names: `from` and `to` in ms, else `range`, else the last hour. */
export function parseRange(query: URLSearchParams): Range {
  const from = Number(query.get("from") ?? Number.NaN);
  const to = Number(query.get("to") ?? Number.NaN);
  if (Number.isFinite(from) && Number.isFinite(to) && to - from >= 1000) return { live: false, from, to };
  return { live: true, span: parseSpan(query.get("range")) ?? DEFAULT_SPAN };
}

/** What goes into the address. */
export function printRange(range: Range): { range: string | null; from: string | null; to: string | null } {
  if (range.live) return { range: range.span === DEFAULT_SPAN ? null : printSpan(range.span), from: null, to: null };
  return { range: null, from: String(Math.round(range.from)), to: String(Math.round(range.to)) };
}

export function windowOf(range: Range, now: number): Window {
  return range.live ? { start: now - range.span, end: now } : { start: range.from, end: range.to };
}

export function windowSpan(range: Range): number {
  return range.live ? range.span : range.to - range.from;
}

/** A live window that moves by whole pixels, at most once a second: redrawing for less shows nothing. */
export function steppedWindow(range: Range, now: number, px: number): Window {
  if (!range.live) return windowOf(range, now);
  const step = Math.max(1000, range.span / Math.max(200, px));
  return windowOf(range, Math.ceil(now / step) * step);
}

/** Zoom by `factor` (< 1: in) around a moment; at the right edge of a live range it stays live. */
export function zoom(range: Range, factor: number, around: number, now: number): Range {
  const { start, end } = windowOf(range, now);
  const span = Math.min(MOST_MS, Math.max(LEAST_MS, (end - start) * factor));
  const share = Math.min(1, Math.max(0, (around - start) / (end - start)));
  if (range.live && share > 0.97) return { live: true, span };
  const from = around - share * span;
  return land({ live: false, from, to: from + span }, now);
}

/** Move by a share of the window; moving into the future returns to live. */
export function pan(range: Range, share: number, now: number): Range {
  const { start, end } = windowOf(range, now);
  const shift = (end - start) * share;
  if (range.live && shift > 0) return range;
  return land({ live: false, from: start + shift, to: end + shift }, now);
}

/** A window that reaches past now is a live one. */
export function land(range: { live: false; from: number; to: number }, now: number): Range {
  return range.to >= now - 500 ? { live: true, span: range.to - range.from } : range;
}
