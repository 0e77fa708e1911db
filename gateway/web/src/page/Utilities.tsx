/** Meters and utilities below the line; what no meter explains stays visible as unassigned. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import { api, type Asset, type Signal } from "../api";
import { concernsAt } from "../attention";
import { ageClass, useFetched } from "../fetched";
import { cell } from "../live";
import { say, words } from "../locale";
import { NOTHING, printNumber } from "../number";
import { Mark } from "../part/Mark";
import { StateWord } from "../part/StateWord";
import { Age, Value } from "../part/Value";
import { judgeSignal, signalOf } from "../plant";
import { machineHref } from "../route";
import { LOOK_BACK_MS } from "../states";
import { increaseOver } from "./Keys";
import { pageNow, tick } from "../when";

/** The meter at the grid: everything else is a share of it. */
export function incomerOf(assets: readonly Asset[]): Asset | undefined {
  return assets.find((a) => a.type === "incomer") ?? assets.find((a) => a.role === "meter" && a.id !== "unassigned");
}

/** kWh over the last hours: a register's increase; a balance that may fall, its change. */
async function energyOver(s: Signal, abort: AbortSignal): Promise<number | null> {
  if (s.kind === "counter") return increaseOver(s.path, LOOK_BACK_MS, abort);
  const now = pageNow();
  const reply = await api.aggregate(s.path, now - LOOK_BACK_MS, now, LOOK_BACK_MS, abort);
  const first = reply.first.find((v) => v !== null);
  const last = reply.last.findLast((v) => v !== null);
  return first == null || last == null ? null : last - first;
}

function Energy({ asset }: { asset: Asset }) {
  const s = signalOf(asset, "energy");
  const fetched = useFetched<number | null>(
    s === undefined ? null : s.path,
    (abort) => (s === undefined ? Promise.resolve(null) : energyOver(s, abort)),
  );
  if (s === undefined) return <span class="quiet">{NOTHING}</span>;
  const value = fetched.value.state === "here" ? fetched.value.data : null;
  return (
    <span class={`live ${ageClass(fetched.value)}`}>
      {s.estimated && <span class="tag">{words.value.estimated}</span>}
      {printNumber(value, 1)}
    </span>
  );
}

function Share({ asset, incomer }: { asset: Asset; incomer: Asset | undefined }) {
  const style = useMemo(() => {
    const own = signalOf(asset, "power");
    const whole = incomer === undefined ? undefined : signalOf(incomer, "power");
    return computed(() => {
      if (own === undefined || whole === undefined || incomer === undefined) return "display:none";
      const a = cell(own.path).value;
      const b = cell(whole.path).value;
      const known = judgeSignal(own, asset, tick.value, a).shown && judgeSignal(whole, incomer, tick.value, b).shown;
      if (!known || a.value === null || b.value === null || b.value <= 0) return "display:none";
      return `width:${Math.min(100, Math.max(0, (a.value / b.value) * 100))}%`;
    });
  }, [asset, incomer]);
  return (
    <span class="share-bar" aria-hidden="true">
      <i style={style} />
    </span>
  );
}

function Row({ asset, incomer }: { asset: Asset; incomer: Asset | undefined }) {
  const state = signalOf(asset, "state");
  const power = signalOf(asset, "power");
  const pressure = signalOf(asset, "pressure");
  const worst = concernsAt(asset.id)[0];
  const aged = power ?? asset.signals[0];
  return (
    <tr>
      <th scope="row">
        <a href={machineHref(asset.id)}>{say(asset.name)}</a>
        {worst !== undefined && <Mark priority={worst.priority} />}
      </th>
      <td class="utility-state">
        {state !== undefined && <StateWord signal={state} asset={asset} time={false} />}
        {pressure !== undefined && <Value signal={pressure} asset={asset} badge={false} />}
      </td>
      <td class="share">
        <Share asset={asset} incomer={incomer} />
      </td>
      <td class="r">{power === undefined ? <span class="quiet">{NOTHING}</span> : <Value signal={power} asset={asset} unit={false} badge={false} brief />}</td>
      <td class="r">
        <Energy asset={asset} />
      </td>
      <td class="r quiet">{aged === undefined ? NOTHING : <Age signal={aged} asset={asset} />}</td>
    </tr>
  );
}

export function Utilities({ assets }: { assets: readonly Asset[] }) {
  const w = words.value;
  if (assets.length === 0) return null;
  const incomer = incomerOf(assets);
  return (
    <section class="panel utilities" aria-label={w.utilities}>
      <header>
        <h2>{w.utilities}</h2>
      </header>
      <table>
        <thead>
          <tr>
            <th scope="col">{w.name}</th>
            <th scope="col">{w.state}</th>
            <th scope="col">{w.shareOfIncomer}</th>
            <th scope="col" class="r">
              {w.power} <span class="unit">kW</span>
            </th>
            <th scope="col" class="r">
              {w.energy} <span class="unit">kWh · {w.lastHours(8)}</span>
            </th>
            <th scope="col" class="r" title={w.ageTitle}>
              {w.age}
            </th>
          </tr>
        </thead>
        <tbody>
          {assets.map((asset) => (
            <Row key={asset.id} asset={asset} incomer={incomer} />
          ))}
        </tbody>
      </table>
    </section>
  );
}
