/** The four numbers of a line. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { api, type Asset, type Line, type Signal } from "../api";
import { ageClass, useFetched } from "../fetched";
import { cell } from "../live";
import { lasting, words } from "../locale";
import { NOTHING, printNumber, printShare } from "../number";
import { StateWord } from "../part/StateWord";
import { assetOf, judgeSignal, signalOf, zone } from "../plant";
import { LOOK_BACK_MS, stateSince } from "../states";
import { pageNow, tick } from "../when";

const HOUR_MS = 3_600_000;

/** Which counters tell a line's good and rejected parts: its own, else those of its last counting station. */
export function lineCounters(itself: Asset | undefined, machines: readonly Asset[]) {
  for (const asset of [itself, ...machines.slice().reverse()]) {
    const good = asset === undefined ? undefined : signalOf(asset, "good_count");
    if (asset !== undefined && good !== undefined) return { good, reject: signalOf(asset, "reject_count") };
  }
  return null;
}

/** The sum of what is known; null where nothing is. */
export function sumKnown(values: readonly (number | null)[]): number | null {
  const known = values.filter((v) => v !== null);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
}

/** Increase of a counter over the last `ms`, in one bucket. */
export async function increaseOver(path: string, ms: number, abort: AbortSignal): Promise<number | null> {
  const now = pageNow();
  const reply = await api.aggregate(path, now - ms, now, ms, abort);
  return sumKnown(reply.increase);
}

interface Counted {
  readonly good: number | null;
  readonly reject: number | null;
  readonly lastHour: number | null;
}

export function Keys({ line, itself, machines }: { line: Line; itself: Asset | undefined; machines: readonly Asset[] }) {
  const w = words.value;
  const counters = useMemo(() => lineCounters(itself, machines), [itself, machines]);
  const fetched = useFetched<Counted>(
    counters === null ? null : counters.good.path,
    async (abort) => {
      if (counters === null) return { good: null, reject: null, lastHour: null };
      const [good, reject, lastHour] = await Promise.all([
        increaseOver(counters.good.path, LOOK_BACK_MS, abort),
        counters.reject === undefined ? null : increaseOver(counters.reject.path, LOOK_BACK_MS, abort),
        increaseOver(counters.good.path, HOUR_MS, abort),
      ]);
      return { good, reject, lastHour };
    },
    30,
  );
  const power = useMemo(
    () =>
      computed(() => {
        let sum = 0;
        let known = 0;
        let estimated = false;
        const having = machines.filter((a) => signalOf(a, "power") !== undefined);
        for (const asset of having) {
          const s = signalOf(asset, "power");
          const sample = s === undefined ? undefined : cell(s.path).value;
          if (s === undefined || sample === undefined) continue;
          const judged = judgeSignal(s, asset, tick.value, sample);
          if (!judged.shown || judged.fresh === "stale" || sample.value === null) continue;
          sum += sample.value;
          known += 1;
          estimated ||= s.estimated;
        }
        return { sum: known === 0 ? null : sum, known, all: having.length, estimated };
      }),
    [machines],
  );
  const old = ageClass(fetched.value);
  const failed = fetched.value.state === "failed" || old !== "";
  const got = fetched.value.state === "here" ? fetched.value.data : null;
  const constraint = line.constraint === null ? undefined : assetOf(line.constraint);
  const ideal = constraint?.cycle_s == null ? null : 3600 / constraint.cycle_s;
  const share = got === null || got.good === null || got.reject === null ? null : got.reject / (got.good + got.reject);
  const state = itself === undefined ? undefined : signalOf(itself, "state");
  return (
    <section class="keys" aria-label={w.figures}>
      {state !== undefined && itself !== undefined && (
        <div class="key key-state">
          <span class="key-name">{w.state}</span>
          <span class="key-value words">
            <StateWord signal={state} asset={itself} time={false} />
          </span>
          <StateSince signal={state} />
        </div>
      )}
      <Key look={old} name={w.goodParts} note={failed ? w.noHistory : w.lastHours(8)} value={printNumber(got?.good, 0)} unit={w.parts} />
      <Key look={old} name={w.rejectShare} note={got?.reject == null ? w.lastHours(8) : `${printNumber(got.reject, 0)} ${w.parts} · ${w.lastHours(8)}`} value={printShare(share)} unit="" />
      <Key
        look={old}
        name={w.rate}
        note={ideal === null ? w.lastHour : `${w.lastHour} · ${w.ideal} ${printNumber(ideal, 0)}`}
        value={printNumber(got?.lastHour, 0)}
        unit={w.perHour}
      />
      <Key
        name={w.powerLine}
        note={`${w.machinesOf(power.value.known, power.value.all)}${power.value.estimated ? ` · ${w.estimatedWord}` : ""}`}
        value={power.value.sum === null ? NOTHING : printNumber(power.value.sum, 1)}
        unit="kW"
      />
    </section>
  );
}

/** Since when the state holds, and for how long. */
export function StateSince({ signal: s }: { signal: Signal }) {
  const text = useMemo(
    () =>
      computed(() => {
        const since = stateSince(s.path);
        const now = tick.value;
        return since === null ? "" : `${words.value.since(zone.value.moment(since, now))} · ${lasting(now - since)}`;
      }),
    [s.path],
  );
  return <span class="key-note">{text}</span>;
}

function Key(props: { look?: string; name: string; note: string; value: string; unit: string }) {
  return (
    <div class="key">
      <span class="key-name">{props.name}</span>
      <span class={`key-value ${props.look ?? ""}`}>
        <span class="num">{props.value}</span>
        <span class="unit">{props.unit}</span>
      </span>
      <span class="key-note">{props.note}</span>
    </div>
  );
}
