/** Energy of a machine by state and per good part, as analytics published it. */

import type { Asset, Signal } from "../api";
import { ageClass, useFetched } from "../fetched";
import { say, words } from "../locale";
import { NOTHING, printNumber, printShare, printUnit } from "../number";
import { Blank, Failed } from "../part/Blank";
import { Value } from "../part/Value";
import { LOOK_BACK_MS } from "../states";
import { increaseOver } from "./Keys";

/** Signals of analytics that speak of energy. */
export function energySignals(asset: Asset): Signal[] {
  return asset.signals.filter((s) => s.origin === "analytics" && /^energy_/.test(s.id) && s.kind !== "text");
}

const BY_STATE = /^energy_(?!per_)(.+)_kwh$/;

export function EnergyPanel({ asset }: { asset: Asset }) {
  const w = words.value;
  const all = energySignals(asset);
  const byState = all.filter((s) => BY_STATE.test(s.id));
  const others = all.filter((s) => !BY_STATE.test(s.id));
  const key = byState.length === 0 ? null : byState.map((s) => s.path).join();
  const fetched = useFetched<(number | null)[]>(key, (abort) =>
    Promise.all(byState.map((s) => increaseOver(s.path, LOOK_BACK_MS, abort))),
  );
  const now = fetched.value;
  const made = now.state === "here" ? now.data : byState.map(() => null);
  const known = made.filter((v) => v !== null);
  const total = known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
  const top = Math.max(...known, 0.001);
  const estimated = byState.some((s) => s.estimated);
  return (
    <section class="panel" aria-label={w.energyByState}>
      <header>
        <h2>
          {w.energyByState} <span class="quiet">{w.lastHours(8)}</span>
        </h2>
        {estimated && (
          <span class="tag" title={w.estimatedTitle}>
            {w.estimated}
          </span>
        )}
      </header>
      {all.length === 0 && <Blank title={w.energyNone} hint={w.energyNoneHint} small />}
      {now.state === "failed" && <Failed error={now.error} small />}
      {all.length > 0 && (
        <table class={`energy ${ageClass(now)}`}>
          <tbody>
            {byState.map((s, i) => {
              const value = made[i] ?? null;
              return (
                <tr key={s.path}>
                  <th scope="row" title={s.path}>
                    {say(s.name)}
                  </th>
                  <td class="energy-bar">
                    <span class="share-bar" aria-hidden="true">
                      <i style={`width:${value === null ? 0 : Math.max(0, (value / top) * 100)}%`} />
                    </span>
                  </td>
                  <td class="r live">{printNumber(value, 2)}</td>
                  <td class="unit">{printUnit(s.unit)}</td>
                  <td class="r quiet">{value === null || total === null || total <= 0 ? NOTHING : printShare(value / total, 0)}</td>
                </tr>
              );
            })}
            {byState.length > 1 && (
              <tr class="sum">
                <th scope="row">{w.total}</th>
                <td class="energy-bar" />
                <td class="r live">
                  <b>{printNumber(total, 2)}</b>
                </td>
                <td class="unit">kWh</td>
                <td />
              </tr>
            )}
            {others.map((s) => (
              <tr key={s.path}>
                <th scope="row" title={s.path}>
                  {say(s.name)}
                </th>
                <td class="energy-bar" />
                <td class="r">
                  <Value signal={s} asset={asset} unit={false} badge={false} />
                </td>
                <td class="unit">{printUnit(s.unit)}</td>
                <td class="quiet r">{s.id.includes("per_part") ? w.perGoodPart : ""}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
