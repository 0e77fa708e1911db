/** One pen's data: what the historian sent for the window, and what arrived live since. */

import type { History, Signal } from "../api";
import { type Sample, severity } from "../quality";

export interface Series {
  readonly time: number[];
  readonly value: (number | null)[];
  readonly status: number[];
  readonly rawCount: number;
  readonly bucketMs: number;
  /** Where the historian took it from: raw rows or a tier. */
  readonly tier: string;
}

/** No data. Shared, so it must never be written to: `append` starts new columns instead. */
export const EMPTY: Series = Object.freeze({
  time: Object.freeze([] as number[]) as number[],
  value: Object.freeze([] as (number | null)[]) as (number | null)[],
  status: Object.freeze([] as number[]) as number[],
  rawCount: 0,
  bucketMs: 0,
  tier: "raw",
});

/** A reply as a series; live samples already newer than it are kept. */
export function fromHistory(reply: History, before: Series = EMPTY): Series {
  const time = reply.time.slice();
  const value = reply.value.slice();
  const status = reply.status.slice();
  const last = time[time.length - 1] ?? -Infinity;
  let added = 0;
  before.time.forEach((t, i) => {
    if (t <= last || t < reply.end) return;
    time.push(t);
    value.push(before.value[i] ?? null);
    status.push(before.status[i] ?? 0);
    added += 1;
  });
  return { time, value, status, rawCount: Math.max(reply.raw_count, reply.time.length) + added, bucketMs: reply.bucket_ms, tier: reply.tier };
}

/** Take in a live sample; an older one than the newest is not for the live end. */
export function append(series: Series, sample: Sample): Series {
  if (series === EMPTY) series = { time: [], value: [], status: [], rawCount: 0, bucketMs: 0, tier: "raw" };
  const last = series.time[series.time.length - 1] ?? -Infinity;
  if (sample.time <= last || sample.time === 0) return series;
  series.time.push(sample.time);
  series.value.push(severity(sample.status) === "bad" ? null : sample.value);
  series.status.push(sample.status);
  return { ...series, rawCount: series.rawCount + 1 };
}

/** Index of the last point at or before `at`; -1 where none is. */
export function indexAt(time: readonly number[], at: number): number {
  let low = 0;
  let high = time.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((time[middle] ?? Infinity) <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Longer than this without a row is a gap: three times what the signal or the buckets promise. */
export function gapMs(series: Series, signal: Signal): number {
  return 3 * Math.max(signal.max_interval * 1000, series.bucketMs, 1000);
}

/**
 * The points to draw: a null after the last point before each silence, so that no line crosses it,
 * and the newest value held until `now` while it is still young.
 */
export function plotted(series: Series, signal: Signal, now: number | null): [number[], (number | null)[]] {
  const time: number[] = [];
  const value: (number | null)[] = [];
  const silence = gapMs(series, signal);
  let last = -Infinity;
  series.time.forEach((t, i) => {
    if (t - last > silence && time.length > 0) {
      time.push(last + 1);
      value.push(null);
    }
    time.push(t);
    value.push(series.value[i] ?? null);
    last = t;
  });
  const end = value[value.length - 1];
  if (now !== null && end !== undefined && end !== null && now > last && now - last < silence) {
    time.push(now);
    value.push(end);
  }
  return [time, value];
}

/** Points with a gap on both sides: no line reaches them, so they are drawn as dots. */
export function isolated(value: readonly (number | null | undefined)[]): number[] {
  const out: number[] = [];
  let before: "gap" | "point" = "gap";
  let lone = -1;
  value.forEach((v, i) => {
    if (v === undefined) return;
    if (v === null) {
      if (lone >= 0) out.push(lone);
      lone = -1;
      before = "gap";
      return;
    }
    lone = before === "gap" ? i : -1;
    before = "point";
  });
  if (lone >= 0) out.push(lone);
  return out;
}

export interface Shade {
  readonly start: number;
  readonly end: number;
  readonly severity: "uncertain" | "bad";
}

/** Spans that are not good: each point's status holds until the next point, or until the silence limit. */
export function shades(series: Series, signal: Signal, now: number | null): Shade[] {
  const out: Shade[] = [];
  const silence = gapMs(series, signal);
  series.status.forEach((status, i) => {
    const level = severity(status);
    if (level === "good") return;
    const start = series.time[i] ?? 0;
    const next = series.time[i + 1] ?? now ?? start;
    const end = level === "bad" ? next : Math.min(next, start + silence);
    const last = out[out.length - 1];
    if (last !== undefined && last.severity === level && last.end >= start) out[out.length - 1] = { ...last, end };
    else out.push({ start, end, severity: level });
  });
  return out;
}

/** How many raw rows stand behind one that is drawn; 1: all of them are (a held state repeats nothing). */
export function downsampling(series: Series): number {
  return series.time.length === 0 || series.bucketMs === 0 ? 1 : Math.max(1, Math.round(series.rawCount / series.time.length));
}

export interface Column {
  readonly name: string;
  readonly unit: string;
  readonly series: Series;
}

/** What is shown as CSV: one row per moment of any pen, with each pen's value and status. */
export function toCsv(
  columns: readonly Column[],
  start: number,
  end: number,
  stamp: (ms: number) => string,
  heads: { readonly time: string; readonly status: string },
): string {
  const quote = (s: string): string => (/[",\n]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s);
  const rows = new Map<number, (string | undefined)[]>();
  columns.forEach(({ series }, c) => {
    series.time.forEach((t, i) => {
      if (t < start || t > end) return;
      let row = rows.get(t);
      if (row === undefined) rows.set(t, (row = new Array<string | undefined>(columns.length * 2)));
      const value = series.value[i] ?? null;
      row[c * 2] = value === null ? "" : String(value);
      row[c * 2 + 1] = `0x${(series.status[i] ?? 0).toString(16).toUpperCase().padStart(8, "0")}`;
    });
  });
  const head = [heads.time, "UTC ms"].concat(
    columns.flatMap((c) => [c.unit === "" ? c.name : `${c.name} [${c.unit}]`, `${c.name} ${heads.status}`]),
  );
  const lines = [...rows].sort(([a], [b]) => a - b).map(([t, cells]) => [stamp(t), String(t), ...Array.from(cells, (v) => v ?? "")]);
  return [head, ...lines].map((row) => row.map(quote).join(",")).join("\r\n") + "\r\n";
}
