/** The gateway's REST interface: its types and one small client. Times are ms UTC throughout. */

export interface Label {
  readonly zh: string;
  readonly en: string;
}

export type SignalKind = "measurement" | "counter" | "state" | "setpoint" | "text";
export type Origin = "edge" | "twin" | "analytics";

export interface Signal {
  readonly path: string;
  readonly id: string;
  readonly name: Label;
  readonly kind: SignalKind;
  readonly unit: string;
  readonly decimals: number;
  readonly range: readonly [number, number] | null;
  readonly states: Readonly<Record<string, Label>>;
  readonly origin: Origin;
  readonly estimated: boolean;
  /** Seconds after which an unchanged value is reported again. */
  readonly max_interval: number;
}

export interface Asset {
  readonly id: string;
  readonly name: Label;
  readonly type: string;
  readonly role: string;
  /** null: it is not read by an edge. */
  readonly edge: string | null;
  readonly line: string | null;
  /** Ideal seconds for one part. */
  readonly cycle_s: number | null;
  readonly signals: readonly Signal[];
}

export interface Station {
  readonly asset: string;
  /** Parts that fit between this station and the next. */
  readonly buffer: number;
}

export interface Line {
  readonly id: string;
  readonly name: Label;
  readonly constraint: string | null;
  readonly flow: readonly Station[];
}

export interface Plant {
  readonly enterprise: string;
  readonly site: string;
  readonly name: Label;
  readonly timezone: string;
  readonly simulated: boolean;
  readonly version: string;
  /** Changes with everything that plant.yaml says. */
  readonly hash: string;
  readonly lines: readonly Line[];
  readonly assets: readonly Asset[];
  readonly edges: readonly { readonly id: string; readonly name: Label }[];
}

export interface Person {
  readonly name: string;
  readonly rights: readonly string[];
}

export interface History {
  readonly path: string;
  readonly kind: SignalKind;
  readonly start: number;
  readonly end: number;
  readonly tier: string;
  readonly bucket_ms: number;
  readonly raw_count: number;
  readonly time: readonly number[];
  /** null where the value is Bad: a gap. */
  readonly value: readonly (number | null)[];
  readonly status: readonly number[];
}

export interface Aggregate {
  readonly start: readonly number[];
  readonly width_ms: number;
  readonly first: readonly (number | null)[];
  readonly last: readonly (number | null)[];
  readonly low: readonly (number | null)[];
  readonly high: readonly (number | null)[];
  readonly mean: readonly (number | null)[];
  readonly increase: readonly (number | null)[];
  readonly good_s: readonly number[];
  readonly count: readonly number[];
}

/** A state from `start` until `end`; `state` null: not known, `status` says why. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly state: number | null;
  readonly status: number;
}

export interface States {
  readonly path: string;
  readonly runs: readonly Run[];
}

export interface EdgeLink {
  readonly edge: string;
  readonly state: "up" | "lost" | "unknown";
  readonly since: number | null;
  /** Everything up to here is in the historian; null or 0: not known. */
  readonly complete_up_to: number | null;
  /** A foreign edge that promises nothing. */
  readonly best_effort: boolean;
}

export type ServerMessage =
  | {
      readonly v: number;
      readonly type: "snapshot";
      readonly time: number;
      readonly paths: readonly string[];
      readonly value: readonly (number | null)[];
      readonly status: readonly number[];
      readonly source_time: readonly number[];
    }
  | {
      readonly type: "frame";
      readonly seq: number;
      readonly time: number;
      readonly i: readonly number[];
      readonly value: readonly (number | null)[];
      readonly status: readonly number[];
      readonly source_time: readonly number[];
    }
  | { readonly type: "heartbeat"; readonly time: number }
  | { readonly type: "links"; readonly links: readonly EdgeLink[] };

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

export const api = {
  login: (user: string, password: string) => call<Person>("POST", "login", { user, password }),
  logout: () => call<unknown>("POST", "logout"),
  me: () => get<Person>("me"),
  plant: () => get<Plant>("plant"),
  history: (path: string, start: number, end: number, px: number, abort?: AbortSignal) =>
    get<History>("history", { path, start: Math.round(start), end: Math.round(end), px: Math.round(px) }, abort),
  aggregate: (path: string, start: number, end: number, widthMs: number, abort?: AbortSignal) =>
    get<Aggregate>(
      "aggregate",
      { path, start: Math.round(start), end: Math.round(end), width_ms: Math.round(widthMs) },
      abort,
    ),
  states: (path: string, start: number, end: number, abort?: AbortSignal) =>
    get<States>("states", { path, start: Math.round(start), end: Math.round(end) }, abort),
};
