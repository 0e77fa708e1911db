/** The gateway's REST interface as one small client. Times are ms UTC throughout. */

import type {
  Account,
  Act,
  Aggregate,
  AsOf,
  By,
  Given,
  History,
  MachineRun,
  Made,
  Oee,
  Person,
  Plant,
  Product,
  ReasonCode,
  Role,
  Run,
  Said,
  SessionOn,
  Shifts,
  Stated,
  States,
} from "./answer";
import { knownAt } from "./when";

export type * from "./answer";

/** What a machine can be used for. */
export const MODES = ["production", "maintenance", "manual", "setup"] as const;

/** What an account can be. */
export const ROLES = ["viewer", "operator", "engineer", "admin"] as const;

/** What the gateway refused, with its HTTP status; 0: no answer at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

type Query = Readonly<Record<string, string | number | readonly string[]>>;

async function call<T>(method: string, path: string, body?: unknown, abort?: AbortSignal): Promise<T> {
  let reply: Response;
  try {
    reply = await fetch(`/api/${path}`, {
      method,
      credentials: "same-origin",
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      signal: abort ?? null,
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new ApiError(0, String(error));
  }
  if (!reply.ok) {
    const detail: unknown = await reply.json().catch(() => null);
    const text =
      detail !== null && typeof detail === "object" && "detail" in detail ? String(detail.detail) : reply.statusText;
    throw new ApiError(reply.status, text);
  }
  return (reply.status === 204 ? undefined : await reply.json()) as T;
}

function get<T>(path: string, query: Query = {}, abort?: AbortSignal): Promise<T> {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) search.append(key, String(item));
  }
  return call("GET", search.size > 0 ? `${path}?${search}` : path, undefined, abort);
}

const ms = Math.round;

/** What depends on history is asked as it was known then, where the page says so. */
function believed<T>(path: string, question: Query, abort?: AbortSignal): Promise<T> {
  const then = knownAt.peek();
  return get(path, then === null ? question : { ...question, known_at: then }, abort);
}

export const api = {
  login: (user: string, password: string) => call<Person>("POST", "login", { user, password }),
  logout: () => call<unknown>("POST", "logout"),
  me: () => get<Person>("me"),
  ownPassword: (old: string, next: string) => call<unknown>("POST", "password", { old, new: next }),
  people: (abort?: AbortSignal) => get<Account[]>("people", {}, abort),
  sessions: (abort?: AbortSignal) => get<SessionOn[]>("sessions", {}, abort),
  acts: (abort?: AbortSignal) => get<Act[]>("acts", {}, abort),
  addPerson: (name: string, role: Role, password: string | null) => call<Given>("POST", "people", { name, role, password }),
  setRole: (name: string, role: Role) => call<unknown>("POST", "people/role", { name, role }),
  setPassword: (name: string) => call<Given>("POST", "people/password", { name }),
  removePerson: (name: string) => call<unknown>("POST", "people/remove", { name }),
  endSession: (id: string) => call<unknown>("POST", "sessions/end", { id }),
  plant: () => get<Plant>("plant"),
  history: (path: string, start: number, end: number, px: number, abort?: AbortSignal) =>
    believed<History>("history", { path, start: ms(start), end: ms(end), px: ms(px) }, abort),
  aggregate: async (path: string, start: number, end: number, widthMs: number, abort?: AbortSignal): Promise<Aggregate> => {
    const reply = await believed<Aggregate>("aggregate", { path, start: ms(start), end: ms(end), width_ms: ms(widthMs) }, abort);
    return { ...reply, increase: reply.increase.map((v, i) => (reply.known_s?.[i] === 0 ? null : v)) };
  },
  states: (path: string, start: number, end: number, abort?: AbortSignal) =>
    believed<States>("states", { path, start: ms(start), end: ms(end) }, abort),
  /** The runs of a machine's state with all that is told about them. */
  runs: async (asset: string, start: number, end: number, abort?: AbortSignal): Promise<Run[]> => {
    const reply = await believed<{ runs: MachineRun[] }>("runs", { asset, start: ms(start), end: ms(end) }, abort);
    return reply.runs.map(({ start: from, end: to, state, ...told }) => ({ start: from, end: to, state, status: 0, told }));
  },
  asOf: (at: number, abort?: AbortSignal) => believed<AsOf>("as-of", { at: ms(at) }, abort),
  oee: (asset: string, start: number, end: number, by: By, abort?: AbortSignal) =>
    believed<Oee>("oee", { asset, start: ms(start), end: ms(end), by }, abort),
  /** What machines and lines make at a moment. */
  madeAt: (moment: number, abort?: AbortSignal) => believed<Made[]>("products/now", { at: ms(moment) }, abort),
  /** The modes that people stated and that hold at a moment. */
  modesAt: (moment: number, abort?: AbortSignal) => believed<Stated[]>("mode", { at: ms(moment) }, abort),
  shifts: (start: number, end: number, abort?: AbortSignal) => get<Shifts>("shifts", { start: ms(start), end: ms(end) }, abort),
  reasons: (abort?: AbortSignal) => get<ReasonCode[]>("reasons", {}, abort),
  products: (abort?: AbortSignal) => get<Product[]>("products", {}, abort),
  /** End null: until the stop ends that is on at its start. */
  sayReason: (about: { asset: string; start: number; end: number | null; code: string; note: string }) =>
    call<Said>("POST", "reasons", { ...about, start: ms(about.start), end: about.end === null ? null : ms(about.end) }),
  sayProduct: (about: { asset: string; start: number; product: string }) =>
    call<Said>("POST", "products", { ...about, start: ms(about.start) }),
  /** Mode "": what was said is taken back, the machine's own signal counts. */
  sayMode: (about: { asset: string; start: number; end: number | null; mode: string }) =>
    call<Said>("POST", "mode", { ...about, start: ms(about.start), end: about.end === null ? null : ms(about.end) }),
};
