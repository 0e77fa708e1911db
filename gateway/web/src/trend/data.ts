/** The data of all pens: fetched for the window at twice its pixels, then carried on live. */

import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { ApiError, api } from "../api";
import { connection, listen } from "../live";
import { ended } from "../plant";
import type { Pen } from "./pens";
import { type Range, windowOf, windowSpan } from "./range";
import { append, EMPTY, fromHistory, type Series } from "./series";
import { pageNow, whenKey } from "../when";

const SETTLE_MS = 160;
const SHORT_MS = 180_000;

export interface TrendData {
  readonly series: ReadonlySignal<ReadonlyMap<string, Series>>;
  readonly busy: ReadonlySignal<boolean>;
  readonly error: ReadonlySignal<ApiError | null>;
  readonly again: () => void;
}

export function useTrendData(pens: readonly Pen[], range: ReadonlySignal<Range>, width: ReadonlySignal<number>): TrendData {
  const series = useSignal<ReadonlyMap<string, Series>>(new Map());
  const busy = useSignal(false);
  const error = useSignal<ApiError | null>(null);
  const turn = useSignal(0);
  const abort = useRef<AbortController | null>(null);
  const wasPast = useRef(false);
  const paths = pens.map((p) => p.path).join(",");
  const wanted = useSignal(paths);
  wanted.value = paths;

  // What must be asked again: other pens, another window, another width by a fifth.
  const coarse = useComputed(() => Math.round(Math.log(Math.max(200, width.value)) / 0.2));
  useSignalEffect(() => {
    const at = range.value;
    const now = wanted.value === "" ? [] : wanted.value.split(",");
    void coarse.value;
    void turn.value;
    // Between now and the past nothing stays; from one moment of the past to another the old is dimmed.
    const past = whenKey.value !== "live";
    if (past !== wasPast.current) series.value = new Map();
    wasPast.current = past;
    if (width.value === 0) return undefined;
    const timer = setTimeout(() => void fetchAll(now, at), SETTLE_MS);
    return () => clearTimeout(timer);
  });

  async function fetchAll(now: readonly string[], at: Range): Promise<void> {
    abort.current?.abort();
    const mine = new AbortController();
    abort.current = mine;
    const moment = pageNow();
    const past = whenKey.peek() !== "live";
    const window = windowOf(at, moment);
    const { start } = window;
    const end = past ? Math.min(window.end, moment) : window.end;
    if (start >= end) {
      series.value = new Map(now.map((path) => [path, EMPTY]));
      busy.value = false;
      return;
    }
    const px = Math.max(200, width.peek() * 2);
    const margin = at.live ? 0 : (end - start) * 0.02;
    const last = past ? Math.min(end + margin, moment) : end + margin;
    busy.value = true;
    try {
      const replies = await Promise.all(now.map((p) => api.history(p, start - margin, last, px, mine.signal)));
      if (mine.signal.aborted) return;
      const before = series.peek();
      series.value = new Map(
        replies.map((reply, i) => [now[i] as string, fromHistory(reply, grows(at) && !past ? before.get(now[i] as string) : EMPTY)]),
      );
      error.value = null;
    } catch (failure) {
      if (mine.signal.aborted || ended(failure)) return;
      if (!(failure instanceof ApiError)) throw failure;
      error.value = failure;
    } finally {
      if (abort.current === mine) busy.value = false;
    }
  }

  // Live samples: gathered by the store once per animation frame, appended here without copying all.
  useEffect(() => {
    const stops = pens.map((pen) =>
      listen(pen.path, (sample) => {
        if (!grows(range.peek())) return;
        const map = series.peek();
        const mine = map.get(pen.path);
        if (mine === undefined) return;
        const next = append(mine, sample);
        if (next === mine) return;
        trim(next, range.peek());
        (map as Map<string, Series>).set(pen.path, next);
        // The window moves at least once a second and draws it then; only a short window cannot wait.
        if (windowSpan(range.peek()) < SHORT_MS) series.value = new Map(map);
      }),
    );
    return () => stops.forEach((stop) => stop());
  }, [paths]);

  // After a hidden tab or a lost link the live part has holes: ask again.
  useEffect(() => {
    const seen = (): void => {
      if (!document.hidden) turn.value += 1;
    };
    document.addEventListener("visibilitychange", seen);
    let lost = false;
    const stop = connection.subscribe((now) => {
      if (lost && now.state === "live") turn.value += 1;
      lost = now.state === "lost";
    });
    // Far more live rows than pixels: let the server thin them.
    const thin = setInterval(() => {
      const most = Math.max(0, ...[...series.peek().values()].map((s) => s.time.length));
      if (!document.hidden && grows(range.peek()) && most > 8 * Math.max(500, width.peek())) turn.value += 1;
    }, 30_000);
    return () => {
      document.removeEventListener("visibilitychange", seen);
      stop();
      clearInterval(thin);
      abort.current?.abort();
    };
  }, []);

  return { series, busy, error, again: () => (turn.value += 1) };
}

/** Whether what arrives now belongs to the window. */
function grows(range: Range): boolean {
  return range.live || range.to > pageNow();
}

/** Drop what has left a live window, now and then. */
function trim(series: Series, range: Range): void {
  if (!range.live) return;
  const oldest = pageNow() - range.span * 1.2;
  const first = series.time.findIndex((t) => t >= oldest);
  if (first < 200) return;
  series.time.splice(0, first);
  series.value.splice(0, first);
  series.status.splice(0, first);
}
