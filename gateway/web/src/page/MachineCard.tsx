/** One machine at a glance: state and for how long, parts, power, what is abnormal, how old the data is. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset } from "../api";
import { concernsAt, type Concern } from "../attention";
import { ageClass, useFetched } from "../fetched";
import { lasting, say, words } from "../locale";
import { printNumber } from "../number";
import { Mark } from "../part/Mark";
import { StateWord } from "../part/StateWord";
import { Value } from "../part/Value";
import { judgeSignal, signalOf } from "../plant";
import type { Judgement } from "../quality";
import { machineHref } from "../route";
import { increaseOver } from "./Keys";
import { tick } from "../when";

const HOUR_MS = 3_600_000;

/** The counter that tells what a machine made. */
export function countOf(asset: Asset) {
  return signalOf(asset, "part_count", "good_count");
}

const WORST: readonly Judgement["quality"][] = ["link", "never", "bad", "stale", "late", "uncertain", "sim", "good"];

/** How fresh the machine's data is: the newest word it gave, and the worst quality among what the card shows. */
function Fresh({ asset }: { asset: Asset }) {
  const bits = useMemo(() => {
    const shown = ["state", "power", "part_count", "good_count"].map((id) => signalOf(asset, id)).filter((s) => s !== undefined);
    const own = asset.signals.filter((s) => s.origin === "edge" && s.kind !== "text");
    const judged = computed(() => shown.map((s) => judgeSignal(s, asset, tick.value)));
    const worst = computed(() => WORST.find((q) => judged.value.some((j) => j.quality === q)) ?? "never");
    const text = computed(() => {
      const ages = (own.length > 0 ? own : shown)
        .map((s) => judgeSignal(s, asset, tick.value).age)
        .filter((age) => age !== null);
      return ages.length === 0 ? words.value.noDataYet : lasting(Math.min(...ages));
    });
    return { text, look: computed(() => `card-age value q-${worst.value}`) };
  }, [asset]);
  return (
    <span class={bits.look} title={words.value.ageTitle}>
      {words.value.age} {bits.text}
    </span>
  );
}

function Rate({ asset }: { asset: Asset }) {
  const count = countOf(asset);
  const reject = count?.id === "good_count" ? signalOf(asset, "reject_count") : undefined;
  const fetched = useFetched<number | null>(
    count === undefined ? null : count.path,
    async (abort) => {
      if (count === undefined) return null;
      const made = await increaseOver(count.path, HOUR_MS, abort);
      const bad = reject === undefined ? 0 : await increaseOver(reject.path, HOUR_MS, abort);
      return made === null ? null : made + (bad ?? 0);
    },
  );
  if (asset.cycle_s === null || count === undefined) return null;
  const w = words.value;
  const ideal = 3600 / asset.cycle_s;
  const rate = fetched.value.state === "here" ? fetched.value.data : null;
  const filled = rate === null ? 0 : Math.min(100, (rate / ideal) * 100);
  return (
    <span class="rate" title={`${w.rate}, ${w.lastHour}. ${w.idealTitle}`}>
      <span class="rate-bar" aria-hidden="true">
        <i style={`width:${filled}%`} />
      </span>
      <span class="rate-text">
        <b class={ageClass(fetched.value)}>{printNumber(rate, 0)}</b> {w.of} {printNumber(ideal, 0)}
        {w.perHour}
      </span>
    </span>
  );
}

function Abnormal({ concerns }: { concerns: readonly Concern[] }) {
  const first = concerns[0];
  if (first === undefined) return null;
  return (
    <span class="card-abnormal">
      <Mark priority={first.priority} />
      <span title={first.what}>{first.what}</span>
      {concerns.length > 1 && <span class="quiet">+{concerns.length - 1}</span>}
    </span>
  );
}

export function MachineCard({ asset, constraint }: { asset: Asset; constraint: boolean }) {
  const w = words.value;
  const state = signalOf(asset, "state");
  const count = countOf(asset);
  const reject = signalOf(asset, "reject_count");
  const power = signalOf(asset, "power");
  const concerns = concernsAt(asset.id);
  return (
    <a class={concerns.length > 0 ? `card edge-${concerns[0]?.priority}` : "card"} href={machineHref(asset.id)}>
      <span class="card-name">
        <b>{say(asset.name)}</b>
        {constraint && <span class="box-constraint">{w.constraint}</span>}
      </span>
      <span class="card-state">
        {state === undefined ? <span class="quiet">{w.unknownState}</span> : <StateWord signal={state} asset={asset} />}
      </span>
      <span class="card-numbers">
        {count !== undefined && (
          <span class="figure">
            <Value signal={count} asset={asset} unit={false} badge={false} />
            <span class="unit">{count.id === "good_count" ? w.goodParts : w.parts}</span>
          </span>
        )}
        {power !== undefined ? (
          <span class="figure">
            <Value signal={power} asset={asset} badge={false} />
          </span>
        ) : (
          reject !== undefined && (
            <span class="figure">
              <Value signal={reject} asset={asset} unit={false} badge={false} />
              <span class="unit">{w.rejects}</span>
            </span>
          )
        )}
      </span>
      <span class="card-foot">
        {concerns.length > 0 ? <Abnormal concerns={concerns} /> : <Rate asset={asset} />}
        <Fresh asset={asset} />
      </span>
    </a>
  );
}
