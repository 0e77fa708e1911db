/**
 * The live store: one WebSocket, one signal per path.
 *
 * Frames are gathered and written once per animation frame, so text nodes change at most as often as
 * the screen does. A hidden tab gathers only the newest of each path and draws when it is seen again.
 */

import { batch, computed, type ReadonlySignal, type Signal, signal } from "@preact/signals";

import type { EdgeLink, ServerMessage } from "./api";
import { plantClock, plantNow, tick } from "./clock";
import { NEVER, type Sample } from "./quality";
import { at } from "./when";

const SILENCE_MS = 3000;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export type Connection =
  | { readonly state: "connecting" }
  | { readonly state: "live" }
  /** `since` is plant time of the last word; `retryAt` on our monotonic clock, null while trying. */
  | { readonly state: "lost"; readonly since: number; readonly retryAt: number | null };

export const connection = signal<Connection>({ state: "connecting" });
export const links = signal<readonly EdgeLink[]>([]);
/** ms from the newest source time in a frame to its arrival; null before the first. */
export const lag = signal<number | null>(null);

const newest = new Map<string, Signal<Sample>>();
const cells = new Map<string, ReadonlySignal<Sample>>();
const listeners = new Map<string, Set<(sample: Sample) => void>>();

/** What is known of the moment that the page shows; null where that is now (or not here yet). */
export const past = signal<ReadonlyMap<string, Sample> | null>(null);

function newestOf(path: string): Signal<Sample> {
  let found = newest.get(path);
  if (found === undefined) newest.set(path, (found = signal(NEVER)));
  return found;
}

/** The newest sample of a path: of now, or as of the moment shown. What is live never shows in the past. */
export function cell(path: string): ReadonlySignal<Sample> {
  let found = cells.get(path);
  if (found === undefined) {
    const live = newestOf(path);
    cells.set(path, (found = computed(() => (at.value === null ? live.value : (past.value?.get(path) ?? NEVER)))));
  }
  return found;
}

/** Hear every live sample of a path (charts append them); the past is silent. */
export function listen(path: string, hear: (sample: Sample) => void): () => void {
  let set = listeners.get(path);
  if (set === undefined) listeners.set(path, (set = new Set()));
  set.add(hear);
  return () => set.delete(hear);
}

let socket: WebSocket | null = null;
let wanted: readonly string[] = [];
let index: readonly string[] = [];
let heard = performance.now();
let lastWord = 0;
let attempt = 0;
let retryTimer = 0;
let onReturn: () => void = () => undefined;
const paces = new Map<string, { last: number; gaps: number[] }>();

let pending = new Map<string, Sample>();
let drawing = 0;

function draw(): void {
  drawing = 0;
  const now = pending;
  pending = new Map();
  batch(() => {
    for (const [path, sample] of now) {
      newestOf(path).value = sample;
      if (at.peek() === null) for (const hear of listeners.get(path) ?? []) hear(sample);
      if (path.endsWith("/last_good_read") && sample.value !== null) pace(path, sample.value);
    }
  });
}

function pace(path: string, value: number): void {
  const known = paces.get(path);
  if (known === undefined) paces.set(path, { last: value, gaps: [] });
  else if (value > known.last) {
    known.gaps = [...known.gaps.slice(-7), value - known.last];
    known.last = value;
  }
}

/** ms between the last good reads of a device, the longest of the last few; 0: not known yet. */
export function cadence(path: string): number {
  return Math.max(0, ...(paces.get(path)?.gaps ?? []));
}

function gather(path: string, value: number | null, status: number, time: number): void {
  pending.set(path, { value, status: status >>> 0, time });
  if (drawing === 0 && !document.hidden) drawing = requestAnimationFrame(draw);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && pending.size > 0 && drawing === 0) drawing = requestAnimationFrame(draw);
});

function take(message: ServerMessage): void {
  heard = performance.now();
  if ("time" in message) {
    plantClock.hear(message.time, heard);
    lastWord = message.time;
  }
  if (connection.value.state !== "live") {
    attempt = 0;
    if (connection.value.state === "lost") onReturn();
    connection.value = { state: "live" };
    tick.value = plantNow();
  }
  switch (message.type) {
    case "snapshot":
      index = message.paths;
      message.paths.forEach((path, i) => {
        gather(path, message.value[i] ?? null, message.status[i] ?? 0, message.source_time[i] ?? 0);
      });
      break;
    case "frame": {
      let newest = 0;
      message.i.forEach((at, i) => {
        const path = index[at];
        const time = message.source_time[i] ?? 0;
        if (path !== undefined) gather(path, message.value[i] ?? null, message.status[i] ?? 0, time);
        if (time > newest) newest = time;
      });
      if (newest > 0) lag.value = Math.max(0, message.time - newest);
      break;
    }
    case "links":
      links.value = message.links;
      break;
    case "heartbeat":
      break;
  }
}

function open(): void {
  clearTimeout(retryTimer);
  retryTimer = 0;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const mine = new WebSocket(`${scheme}://${location.host}/api/live`);
  socket = mine;
  if (connection.value.state === "lost") connection.value = { ...connection.value, retryAt: null };
  // A session that has ended is refused before the socket opens, and then the browser says no reason.
  let opened = false;
  mine.onopen = () => {
    opened = true;
    ask();
  };
  mine.onmessage = (event: MessageEvent<string>) => {
    if (socket === mine) take(JSON.parse(event.data) as ServerMessage);
  };
  mine.onclose = (event) => {
    if (socket !== mine) return;
    socket = null;
    if (!opened || event.code === 1008) onReturn();
    again();
  };
}

function again(): void {
  if (retryTimer !== 0 || wanted.length === 0) return;
  const wait = (RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)] ?? 8000) * (0.8 + 0.4 * Math.random());
  attempt += 1;
  retryTimer = window.setTimeout(open, wait);
  const now = connection.value;
  if (now.state === "lost") connection.value = { ...now, retryAt: performance.now() + wait };
}

/** Said within 3 s of silence, whether or not the socket noticed. */
function watch(): void {
  if (wanted.length === 0 || performance.now() - heard < SILENCE_MS || connection.value.state === "lost") return;
  const since = lastWord === 0 ? plantNow() : lastWord;
  connection.value = { state: "lost", since, retryAt: null };
  const dead = socket;
  if (dead !== null && dead.readyState === WebSocket.OPEN) {
    socket = null;
    dead.close();
  }
  if (socket === null) {
    retryTimer = clearing(retryTimer);
    again();
  }
}

function clearing(timer: number): number {
  clearTimeout(timer);
  return 0;
}

function ask(): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ view: wanted, hz: 5 }));
}

/** What this page wants to see. The same view again changes nothing. */
export function view(paths: readonly string[]): void {
  const next = [...new Set(paths)].sort();
  if (next.length === wanted.length && next.every((path, i) => path === wanted[i])) return;
  wanted = next;
  if (socket === null && retryTimer === 0) {
    heard = performance.now();
    open();
  } else ask();
}

/** Stop: logged out. */
export function hangUp(): void {
  wanted = [];
  retryTimer = clearing(retryTimer);
  const mine = socket;
  socket = null;
  mine?.close();
  connection.value = { state: "connecting" };
}

/** Called when the socket was refused, or is back after a loss: session and plant may be others. */
export function whenReturned(act: () => void): void {
  onReturn = act;
}

setInterval(watch, 250);

const lost = computed(() => new Set(links.value.filter((l) => l.state === "lost").map((l) => l.edge)));

/** Whether the link to an edge is lost (its values are last known ones). Of the past, ages tell. */
export function linkLost(edge: string): boolean {
  return at.value === null && lost.value.has(edge);
}
