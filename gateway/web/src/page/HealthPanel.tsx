/** The health index of a machine against its limit, and the signals that it stands on. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset, Signal } from "../api";
import { cell } from "../live";
import { say, words } from "../locale";
import { NOTHING, printNumber } from "../number";
import { Blank } from "../part/Blank";
import { Mark } from "../part/Mark";
import { Age, Value } from "../part/Value";
import { judgeSignal, signalOf } from "../plant";
import { statusWords } from "../words/status";
import { energySignals } from "./EnergyPanel";
import { tick } from "../when";

/** What analytics publishes beside index, limit and energy: the evidence. */
export function evidenceOf(asset: Asset): Signal[] {
  const energy = new Set(energySignals(asset).map((s) => s.path));
  return asset.signals.filter(
    (s) => s.origin === "analytics" && s.kind !== "text" && !["health", "health_limit"].includes(s.id) && !energy.has(s.path),
  );
}

function Gauge({ asset, health, limit }: { asset: Asset; health: Signal; limit: Signal | undefined }) {
  const bits = useMemo(() => {
    const at = computed(() => {
      const judged = judgeSignal(health, asset, tick.value);
      return judged.shown ? cell(health.path).value.value : null;
    });
    const least = computed(() => (limit === undefined ? null : cell(limit.path).value.value));
    return {
      over: computed(() => at.value !== null && least.value !== null && at.value < least.value),
      word: computed(() => {
        if (at.value === null) {
          const sample = cell(health.path).value;
          return sample.time === 0 ? words.value.noDataYet : statusWords(words.value, sample.status);
        }
        if (least.value === null) return words.value.noLimit;
        return at.value < least.value ? words.value.healthOver : words.value.healthSound;
      }),
      fill: computed(() => `width:${Math.min(100, Math.max(0, at.value ?? 0))}%`),
      limitAt: computed(() => (least.value === null ? "display:none" : `left:${Math.min(100, Math.max(0, least.value))}%`)),
      below: computed(() => (least.value === null ? "display:none" : `width:${Math.min(100, Math.max(0, least.value))}%`)),
      limitText: computed(() => (least.value === null ? NOTHING : `${words.value.limit} ${printNumber(least.value, 0)}`)),
    };
  }, [asset, health, limit]);
  return (
    <div class="health">
      <div class="health-line">
        <span class="health-value">
          <Value signal={health} asset={asset} unit={false} />
        </span>
        <span class="unit">/ 100</span>
        <span class="health-word">
          {bits.over.value && <Mark priority={2} />} {bits.word}
        </span>
      </div>
      <div class="health-bar" aria-hidden="true">
        <i class="health-below" style={bits.below} />
        <i class="health-fill" style={bits.fill} />
        <i class="health-limit" style={bits.limitAt} />
      </div>
      <div class="health-scale unit" aria-hidden="true">
        <span>0</span>
        <span class="health-limit-text" style={bits.limitAt}>
          {bits.limitText}
        </span>
        <span>100</span>
      </div>
    </div>
  );
}

export function HealthPanel({ asset, toggle }: { asset: Asset; toggle: (path: string) => void }) {
  const w = words.value;
  const health = signalOf(asset, "health");
  const limit = signalOf(asset, "health_limit");
  const evidence = health === undefined ? [] : evidenceOf(asset);
  return (
    <section class="panel" aria-label={w.health}>
      <header>
        <h2>{w.health}</h2>
      </header>
      {health === undefined ? (
        <Blank title={w.healthNone} hint={w.healthNoneHint} small />
      ) : (
        <Gauge asset={asset} health={health} limit={limit} />
      )}
      {evidence.length > 0 && (
        <table class="evidence">
          <thead>
            <tr>
              <th scope="col">{w.evidence}</th>
              <th scope="col" class="r">
                {w.value}
              </th>
              <th scope="col" class="r" title={w.ageTitle}>
                {w.age}
              </th>
            </tr>
          </thead>
          <tbody>
            {evidence.map((s) => (
              <tr key={s.path}>
                <th scope="row">
                  <button type="button" class="pen-button" title={s.path} onClick={() => toggle(s.path)}>
                    {say(s.name)}
                  </button>
                </th>
                <td class="r">
                  <Value signal={s} asset={asset} badge={false} />
                </td>
                <td class="r quiet">
                  <Age signal={s} asset={asset} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
