/** The plant as the page knows it, with the look-ups that pages need. */

import { computed, signal } from "@preact/signals";

import { ApiError, api, type Asset, type Line, type Person, type Plant, type Signal } from "./api";
import { plantClock } from "./clock";
import { cadence, cell, hangUp, linkLost } from "./live";
import { type Judgement, judge, type Sample } from "./quality";
import { openZone } from "./zone";

export type Session =
  | { readonly state: "starting" }
  | { readonly state: "out" }
  | { readonly state: "failed"; readonly error: ApiError }
  | { readonly state: "in"; readonly person: Person; readonly plant: Plant };

export const session = signal<Session>({ state: "starting" });

const NO_PLANT: Plant = {
  enterprise: "",
  site: "",
  name: { zh: "", en: "" },
  timezone: "UTC",
  simulated: false,
  version: "",
  hash: "",
  lines: [],
  assets: [],
  edges: [],
};

export const plant = computed(() => (session.value.state === "in" ? session.value.plant : NO_PLANT));
export const zone = computed(() => openZone(plant.value.timezone));

const assets = computed(() => new Map(plant.value.assets.map((a) => [a.id, a])));
const signals = computed(() => {
  const found = new Map<string, { readonly signal: Signal; readonly asset: Asset }>();
  for (const asset of plant.value.assets) for (const s of asset.signals) found.set(s.path, { signal: s, asset });
  return found;
});

export const assetOf = (id: string): Asset | undefined => assets.value.get(id);
export const lineOf = (id: string): Line | undefined => plant.value.lines.find((l) => l.id === id);
export const signalAt = (path: string): { signal: Signal; asset: Asset } | undefined => signals.value.get(path);

export function signalOf(asset: Asset, ...ids: readonly string[]): Signal | undefined {
  for (const id of ids) {
    const found = asset.signals.find((s) => s.id === id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The machines of a line in flow order. */
export function machinesOf(line: Line): Asset[] {
  return line.flow.map((s) => assetOf(s.asset)).filter((a) => a !== undefined);
}

/** Everything that is no station of a line, no line and no edge: meters, utilities, the unassigned rest. */
export const utilities = computed(() => {
  const stations = new Set(plant.value.lines.flatMap((l) => [l.id, ...l.flow.map((s) => s.asset)]));
  return plant.value.assets.filter((a) => a.role !== "edge" && !stations.has(a.id));
});

/** Devices report a good read at least every 2 s; one that is polled more slowly, at its own pace. */
const READ_MS = 2000;
const SLOWEST_READ_MS = 30_000;

/** Judge a signal's newest sample where it stands: its device's reads, its edge's link, plant time. */
export function judgeSignal(s: Signal, asset: Asset, now: number, sample: Sample = cell(s.path).value): Judgement {
  const read = s.origin === "edge" ? signalOf(asset, "last_good_read") : undefined;
  const lastGoodRead = read === undefined || read === s ? null : cell(read.path).value.value;
  const pace = read === undefined ? 0 : Math.min(cadence(read.path), SLOWEST_READ_MS * plantClock.rate);
  const expected = read === undefined ? s.max_interval * 1000 : Math.max(READ_MS * plantClock.rate, pace);
  const lost = s.origin === "edge" && asset.edge !== null && linkLost(asset.edge);
  return judge(sample, { now, lastGoodRead, expected, linkLost: lost });
}

/** Who is logged in, and the plant; or the log-in page. */
export async function start(): Promise<void> {
  try {
    const person = await api.me();
    session.value = { state: "in", person, plant: await api.plant() };
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    session.value = error.status === 401 ? { state: "out" } : { state: "failed", error };
  }
}

/** After a lost link: is the session still good, and the plant still the same? Keeps what is shown if not answered. */
export async function check(): Promise<void> {
  const now = session.peek();
  if (now.state !== "in") return;
  try {
    const person = await api.me();
    const newer = await api.plant();
    const same = person.rights.join() === now.person.rights.join();
    if (!same || newer.hash !== now.plant.hash || newer.version !== now.plant.version) session.value = { state: "in", person, plant: newer };
  } catch (error) {
    if (!ended(error) && !(error instanceof ApiError)) throw error;
  }
}

export async function logOut(): Promise<void> {
  hangUp();
  session.value = { state: "out" };
  await api.logout().catch((error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
  });
}

/** A reply of 401 anywhere means the session ended. */
export function ended(error: unknown): boolean {
  if (error instanceof ApiError && error.status === 401) {
    hangUp();
    session.value = { state: "out" };
    return true;
  }
  return false;
}
