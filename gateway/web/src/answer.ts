/** What the gateway answers: the types of REST and the live stream. Times are ms UTC throughout. */

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
  /** Whether plant.yaml has shifts. */
  readonly calendar?: boolean;
  readonly lines: readonly Line[];
  readonly assets: readonly Asset[];
  readonly edges: readonly { readonly id: string; readonly name: Label }[];
}

/** What the twin decided about a person's word on a stop. */
export interface Reason {
  readonly code: string;
  readonly name: Label;
  readonly kind: ReasonKind;
  readonly note: string;
  readonly person: string;
  /** When the twin took it. */
  readonly said: number;
}

/** Recorded; `readable`: what is asked from now on shows it. */
export interface Said {
  readonly said: number;
  readonly readable?: boolean;
}

export type ReasonKind =
  | "planned"
  | "setup"
  | "maintenance"
  | "malfunction"
  | "minor"
  | "material"
  | "organisation"
  | "quality"
  | "other";

export interface ReasonCode {
  readonly code: string;
  readonly name: Label;
  readonly kind: ReasonKind;
}

export interface Product {
  readonly id: string;
  readonly name: Label;
  /** Ideal seconds for one part, by machine. */
  readonly cycle_s: Readonly<Record<string, number>>;
}

/** What a machine or line makes since `start`, as somebody told. */
export interface Made {
  readonly asset: string;
  readonly product: string;
  readonly start: number;
  readonly person: string;
  readonly said: number;
}

/** The mode that somebody stated of a machine; end null: until it is said otherwise. */
export interface Stated {
  readonly asset: string;
  readonly mode: string;
  readonly start: number;
  readonly end: number | null;
  readonly person: string;
  readonly said: number;
}

export interface Shift {
  readonly id: string;
  readonly name: Label;
  readonly crew: string | null;
  readonly crew_name?: Label | null;
  /** The day it counts for: that of its start. */
  readonly date: string;
  readonly start: number;
  readonly end: number;
  readonly breaks: readonly (readonly [number, number])[];
  readonly working: boolean;
  /** The holiday, or that the year's holidays are not known. */
  readonly note?: Label | null;
}

export interface Shifts {
  /** false: plant.yaml has no calendar. */
  readonly calendar: boolean;
  readonly shifts: readonly Shift[];
}

export interface Person {
  readonly name: string;
  readonly rights: readonly string[];
}

export type Role = "viewer" | "operator" | "engineer" | "admin";

export interface Account {
  readonly name: string;
  readonly role: Role;
  readonly sessions: number;
  readonly damaged: boolean;
}

/** A session that is on. */
export interface SessionOn {
  readonly id: string;
  readonly name: string;
  readonly begun: number;
  readonly until: number;
  readonly address: string;
  readonly agent: string;
}

/** What a person did to an account. */
export interface Act {
  readonly time: number;
  readonly person: string;
  readonly what: string;
  readonly about: string;
}

/** The password that was made, null where one was chosen. */
export interface Given {
  readonly name: string;
  readonly password: string | null;
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
  /** null where nothing is known: no rows is not no parts. */
  readonly increase: readonly (number | null)[];
  readonly known_s?: readonly number[];
  readonly good_s: readonly number[];
  readonly count: readonly number[];
}

/** A state from `start` until `end`; `state` null: not known, `status` says why. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly state: number | null;
  readonly status: number;
  /** What a machine's run knows besides; absent on any other state. */
  readonly told?: Told;
}

export interface Told {
  readonly waiting: "starved" | "blocked" | null;
  readonly mode: string | null;
  readonly reason: Reason | null;
  /** What was said before and is no longer so, newest first. */
  readonly former: readonly Omit<Reason, "kind">[];
}

export interface MachineRun extends Told {
  readonly start: number;
  readonly end: number;
  readonly state: number | null;
}

/** Samples as columns: the newest of each path as of a moment. */
export interface AsOf {
  readonly at: number;
  readonly known_at: number | null;
  readonly paths: readonly string[];
  readonly value: readonly (number | null)[];
  readonly status: readonly number[];
  readonly source_time: readonly number[];
}

export interface States {
  readonly path: string;
  readonly runs: readonly Run[];
}

/** One row of OEE by ISO 22400: a range, a shift, a day or a product. Seconds; shares of one. */
export interface Kpi {
  readonly key: string;
  readonly name: Label;
  readonly start: number;
  readonly end: number;
  readonly times: Readonly<Record<TimeKey, number>>;
  readonly counts: { readonly pq: number | null; readonly gq: number | null; readonly sq: number | null };
  readonly coverage: number;
  readonly availability: number | null;
  readonly effectiveness: number | null;
  readonly quality: number | null;
  readonly oee: number | null;
  readonly nee: number | null;
  readonly technical_efficiency: number | null;
  readonly utilization: number | null;
  readonly quality_source: { readonly asset: string; readonly signal: string | null } | null;
  /** What stands instead of the figures. */
  readonly why_not: Label | null;
  readonly products: readonly {
    readonly product: string;
    readonly name: Label;
    readonly pru_s: number | null;
    readonly pq: number | null;
    readonly gq: number | null;
  }[];
  readonly losses: readonly { readonly key: string; readonly name: Label; readonly seconds: number }[];
  readonly stops: readonly {
    readonly code: string;
    readonly name: Label;
    readonly kind: string;
    readonly seconds: number;
    readonly count: number;
  }[];
  readonly mtbf_s: number | null;
  readonly mttr_s: number | null;
  readonly failures: number | null;
  /** No failure was seen: the mean time between them is a lower bound. */
  readonly at_least?: boolean;
  readonly estimator: Label | null;
  readonly quality_note?: Label | null;
  readonly notes?: readonly Label[];
}

export type TimeKey =
  | "pot_s"
  | "pbt_s"
  | "pdt_s"
  | "aubt_s"
  | "aupt_s"
  | "apt_s"
  | "asut_s"
  | "adet_s"
  | "adot_s"
  | "unknown_s";

export type By = "range" | "shift" | "day" | "product";

export interface Oee {
  readonly asset: string;
  readonly line: boolean;
  /** The machine that a line's OEE is taken at. */
  readonly constraint: { readonly asset: string; readonly how: "named" | "active_period" } | null;
  readonly rows: readonly Kpi[];
}

export interface EdgeLink {
  readonly edge: string;
  readonly state: "up" | "lost" | "unknown";
  readonly since: number | null;
  /** Everything up to here is in the historian; null or 0: not known. */
  readonly complete_up_to: number | null;
  /** A foreign edge that promises nothing. */
  readonly best_effort: boolean;
  /** It runs on another plant.yaml than the gateway. */
  readonly other_plant?: boolean;
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
