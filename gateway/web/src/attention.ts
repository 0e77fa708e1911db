/** What needs a person: derived from states, health, ranges and data, worst first. */

import { computed, type Signal as Cell, signal } from "@preact/signals";

import { api, type Asset, type Line, type Signal } from "./api";
import { packmlLook } from "./band";
import { cell, linkLost, links } from "./live";
import { lang, say, words } from "./locale";
import { printNumber, printUnit } from "./number";
import { assetOf, ended, judgeSignal, plant, signalOf } from "./plant";
import { statusWords } from "./words/status";
import { LOOK_BACK_MS, stateRuns, stateSince } from "./states";
import { at, pageNow, tick, whenKey } from "./when";

export type Priority = 1 | 2 | 3 | 4;

export interface Concern {
  readonly key: string;
  readonly priority: Priority;
  readonly asset: Asset;
  readonly what: string;
  /** ms UTC; null: not known. */
  readonly since: number | null;
  /** The machine whose page tells more, where that is another. */
  readonly at?: string;
  /** The signal to look at. */
  readonly path: string | null;
}

const sinceCells = new Map<string, Cell<number | null>>();
let sinceOf = "";
const SETTLE_MS = 400;

/**
 * Since when a value has been as `holds` says: read back from the historian once, when first asked.
 * Until the answer is there, the sample's own time.
 */
function sinceWhen(key: string, path: string, holds: (value: number | null) => boolean, first: number): number {
  let found = sinceCells.get(key);
  if (found === undefined) {
    const mine = signal<number | null>(null);
    found = mine;
    sinceCells.set(key, mine);
    const now = pageNow();
    const asked = sinceOf;
    const ask = (): void => {
      if (asked !== sinceOf) return;
      api.history(path, now - LOOK_BACK_MS, now, 1000).then(
        (past) => {
          let first: number | null = null;
          for (let i = past.time.length - 1; i >= 0 && holds(past.value[i] ?? null); i--) first = past.time[i] ?? first;
          mine.value = first;
        },
        (error: unknown) => {
          if (!ended(error) && !(error instanceof Error)) throw error;
        },
      );
    };
    if (at.peek() === null) ask();
    else setTimeout(ask, SETTLE_MS);
  }
  return found.value ?? first;
}

const withUnit = (s: Signal, value: number | null): string =>
  `${printNumber(value, s.decimals)}\u202f${printUnit(s.unit)}`.trim();

/** A device is silent when all of what it should say is stale or was never seen. */
export function isSilent(asset: Asset, now: number): boolean {
  const own = asset.signals.filter((s) => s.origin === "edge" && s.kind !== "text");
  return own.length > 0 && own.every((s) => ["stale", "never", "link", "bad"].includes(judgeSignal(s, asset, now).quality));
}

function concernsOf(asset: Asset, now: number, live: Set<string>): Concern[] {
  const w = words.value;
  const out: Concern[] = [];
  const add = (priority: Priority, kind: string, what: string, since: number | null, path: string | null): void => {
    const key = `${asset.id}:${kind}`;
    live.add(key);
    out.push({ key, priority, asset, what, since, path });
  };
  const state = signalOf(asset, "state");
  const stateNow = state === undefined ? null : cell(state.path).value;
  const silent = isSilent(asset, now);
  if (asset.edge !== null && linkLost(asset.edge)) {
    add(4, "link", w.att_link, links.value.find((l) => l.edge === asset.edge)?.since ?? null, null);
    return out;
  }
  if (silent) {
    const seen = asset.signals.map((s) => cell(s.path).value.time);
    const read = signalOf(asset, "last_good_read");
    const last = Math.max(0, ...seen, read === undefined ? 0 : (cell(read.path).value.value ?? 0));
    add(4, "silent", w.att_silent, last > 0 ? last : null, null);
    return out;
  }
  if (state !== undefined && stateNow !== null && stateNow.value !== null) {
    const look = packmlLook(stateNow.value);
    const name = say(state.states[String(stateNow.value)]);
    if (look === "down") add(1, "state", name || w.att_down, stateSince(state.path), state.path);
    if (look === "held") add(2, "state", name || w.att_held, stateSince(state.path), state.path);
  }
  const health = signalOf(asset, "health");
  const limit = signalOf(asset, "health_limit");
  if (health !== undefined && limit !== undefined) {
    const have = cell(health.path).value.value;
    const least = cell(limit.path).value.value;
    if (have !== null && least !== null && have < least) {
      const since = sinceWhen(`${asset.id}:health`, health.path, (v) => v !== null && v < least, cell(health.path).value.time);
      const text = w.att_health(printNumber(have, 0), printNumber(least, 0));
      add(2, "health", text, since, health.path);
    }
  }
  const sensor = signalOf(asset, "health_sensor");
  if (sensor !== undefined && (cell(sensor.path).value.value ?? 0) > 0) {
    const sample = cell(sensor.path).value;
    const name = say(sensor.states[String(sample.value)]);
    add(4, "health_sensor", w.att_bad(say(sensor.name), name), stateSince(sensor.path) ?? sample.time, sensor.path);
  }
  for (const s of asset.signals) {
    const sample = cell(s.path).value;
    if (sample.time === 0 || s.origin === "analytics") continue;
    const judged = judgeSignal(s, asset, now, sample);
    if (judged.quality === "bad") {
      const since = sinceWhen(`${asset.id}:${s.id}`, s.path, (v) => v === null, sample.time);
      add(4, s.id, w.att_bad(say(s.name), statusWords(w, sample.status)), since, s.path);
    } else if (judged.shown && s.kind === "measurement" && s.range !== null && sample.value !== null) {
      const [low, high] = s.range;
      const value = sample.value;
      if (value <= high && value >= low) continue;
      const over = value > high;
      const since = sinceWhen(
        `${asset.id}:${s.id}`,
        s.path,
        (v) => v !== null && (over ? v > high : v < low),
        sample.time,
      );
      const text = (over ? w.att_high : w.att_low)(say(s.name), withUnit(s, value), withUnit(s, over ? high : low));
      add(3, s.id, text, since, s.path);
    }
  }
  return out;
}

/** The constraint makes nothing for longer than this many ideal cycles (and minutes): the line stands. */
const STANDS_CYCLES = 4;
const STANDS_MS = 180_000;

/** A line whose constraint stands without a fault of its own that is said already. Breaks are not known yet. */
function standing(line: Line, now: number): Concern[] {
  const asset = line.constraint === null ? undefined : assetOf(line.constraint);
  const state = asset === undefined ? undefined : signalOf(asset, "state");
  if (asset === undefined || state === undefined) return [];
  const value = cell(state.path).value.value;
  const look = packmlLook(value);
  const since = stateSince(state.path);
  const allowed = Math.max(STANDS_MS, STANDS_CYCLES * (asset.cycle_s ?? 0) * 1000);
  if (!["idle", "stopped", "blocked"].includes(look) || since === null || now - since < allowed) return [];
  const what = words.value.att_stands(say(asset.name), say(state.states[String(value)]));
  return [{ key: `${line.id}:stands`, priority: 3, asset: assetOf(line.id) ?? asset, what, since, at: asset.id, path: state.path }];
}

/** Everything that needs a person now, worst first, then by plant order. */
export const concerns = computed<readonly Concern[]>(() => {
  void lang.value;
  const now = tick.value;
  const live = new Set<string>();
  if (sinceOf !== whenKey.value) {
    sinceOf = whenKey.value;
    sinceCells.clear();
  }
  const all = plant.value.assets.filter((a) => a.role !== "edge").flatMap((a) => concernsOf(a, now, live));
  all.push(...plant.value.lines.flatMap((line) => standing(line, now)));
  for (const key of sinceCells.keys()) if (!live.has(key)) sinceCells.delete(key);
  return all.map((c, i) => ({ c, i })).sort((a, b) => a.c.priority - b.c.priority || a.i - b.i).map(({ c }) => c);
});

export interface Item {
  readonly concern: Concern;
  readonly name: string;
  readonly what: string;
}

/** What the attention line says: a lost edge is one item, however many assets hang on it. */
export const items = computed<readonly Item[]>(() => {
  const out: Item[] = [];
  const edges = new Map<string, number>();
  for (const concern of concerns.value) {
    const edge = concern.key.endsWith(":link") ? concern.asset.edge : null;
    if (edge === null) out.push({ concern, name: say(concern.asset.name), what: concern.what });
    else {
      const had = edges.get(edge);
      edges.set(edge, (had ?? 0) + 1);
      if (had === undefined) out.push({ concern, name: edge, what: "" });
    }
  }
  return out.map((item) => {
    const count = edges.get(item.name);
    return item.what !== "" || count === undefined ? item : { ...item, name: nameOfEdge(item.name), what: words.value.att_edge(count) };
  });
});

/** An edge by its name in plant.yaml; our own nodes by what they do. */
export function nameOfEdge(id: string): string {
  const w = words.value;
  if (id === "kaikou_twin") return w.twinNode;
  if (id === "kaikou_analytics") return w.analyticsNode;
  const known = plant.value.edges.find((e) => e.id === id);
  return known === undefined ? id : say(known.name);
}

export function concernsAt(asset: string): readonly Concern[] {
  return concerns.value.filter((c) => c.asset.id === asset);
}

/** Counts of the top strip: abnormal machines by worst priority, assets without data, lost links. */
export const counts = computed(() => {
  const worst = new Map<string, Priority>();
  const silent = new Set<string>();
  for (const c of concerns.value) {
    if (c.key.endsWith(":silent") || c.key.endsWith(":link")) silent.add(c.asset.id);
    else worst.set(c.asset.id, Math.min(c.priority, worst.get(c.asset.id) ?? 4) as Priority);
  }
  const by: Record<Priority, number> = { 1: 0, 2: 0, 3: 0, 4: 0 };
  for (const priority of worst.values()) by[priority] += 1;
  return { by, silent: silent.size, lost: at.value !== null ? 0 : links.value.filter((l) => l.state === "lost").length };
});

/** When the last stop of any machine ended, within what is known; null: longer ago. */
export const quietSince = computed<number | null>(() => {
  let last: number | null = null;
  for (const asset of plant.value.assets) {
    const state = signalOf(asset, "state");
    if (state === undefined || assetOf(asset.id)?.role === "edge") continue;
    for (const run of stateRuns(state.path).value) {
      const look = packmlLook(run.state);
      if ((look === "down" || look === "held") && run.end < tick.value) last = Math.max(last ?? 0, run.end);
    }
  }
  return last;
});
