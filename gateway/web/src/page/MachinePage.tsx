/** One machine: what it is doing, is it healthy, how did it come to this? */

import "uplot/dist/uPlot.min.css";
import "../style/machine.css";

import { useComputed } from "@preact/signals";

import type { Asset } from "../api";
import { concernsAt, nameOfEdge } from "../attention";
import { lasting, say, words } from "../locale";
import { printNumber } from "../number";
import { Blank } from "../part/Blank";
import { Mark } from "../part/Mark";
import { StateWord } from "../part/StateWord";
import { Value } from "../part/Value";
import { lineOf, plant, signalOf, utilities, zone } from "../plant";
import { machineHref, query, setQuery } from "../route";
import { Suspense } from "../frame/lazy";
import { ModeNow } from "../stop/ModeNow";
import { pensOf } from "../trend/pens";
import { concernHref } from "./AttentionLine";
import { energySignals, EnergyPanel } from "./EnergyPanel";
import { HealthPanel } from "./HealthPanel";
import { OeePanel } from "./lazyOee";
import { countOf } from "./MachineCard";
import { SignalTable } from "./SignalTable";
import { TrendPanel } from "./TrendPanel";
import { tick } from "../when";

/** The machines beside this one: along its line, or among the meters and utilities. */
function neighbours(asset: Asset): { before: Asset | undefined; after: Asset | undefined } {
  const line = asset.line === null ? undefined : lineOf(asset.line);
  const row = line === undefined ? utilities.value : line.flow.map((s) => plant.value.assets.find((a) => a.id === s.asset)).filter((a) => a !== undefined);
  const at = row.findIndex((a) => a.id === asset.id);
  if (at < 0) return { before: undefined, after: undefined };
  return { before: row[at - 1], after: row[at + 1] };
}

function Step({ to, word, sign }: { to: Asset | undefined; word: string; sign: string }) {
  if (to === undefined) return <span class="step off">{sign}</span>;
  return (
    <a class="step" href={machineHref(to.id)} title={`${word}: ${say(to.name)}`} aria-label={`${word}: ${say(to.name)}`}>
      {sign}
    </a>
  );
}

function Head({ asset }: { asset: Asset }) {
  const w = words.value;
  const state = signalOf(asset, "state");
  const count = countOf(asset);
  const power = signalOf(asset, "power");
  const { before, after } = neighbours(asset);
  const concerns = concernsAt(asset.id);
  return (
    <header class="machine-head">
      <Step to={before} word={w.previous} sign="‹" />
      <div class="machine-title">
        <h1>{say(asset.name)}</h1>
        <p class="quiet">
          {[
            asset.edge === null || asset.edge === asset.id ? "" : nameOfEdge(asset.edge),
            asset.cycle_s === null ? "" : `${w.cycle} ${printNumber(asset.cycle_s, 0)}\u202fs`,
          ]
            .filter((part) => part !== "")
            .join(" · ")}
        </p>
      </div>
      <Step to={after} word={w.next} sign="›" />
      {state !== undefined && (
        <div class="key">
          <span class="key-name">{w.state}</span>
          <span class="key-value words">
            <StateWord signal={state} asset={asset} />
          </span>
        </div>
      )}
      {count !== undefined && (
        <div class="key">
          <span class="key-name">{count.id === "good_count" ? w.goodParts : w.partsLong}</span>
          <span class="key-value">
            <Value signal={count} asset={asset} unit={false} />
          </span>
        </div>
      )}
      {power !== undefined && (
        <div class="key">
          <span class="key-name">{w.power}</span>
          <span class="key-value">
            <Value signal={power} asset={asset} />
          </span>
        </div>
      )}
      {asset.role === "machine" && state !== undefined && <ModeNow asset={asset} />}
      <ul class="machine-concerns">
        {concerns.map((c) => (
          <li key={c.key}>
            <a href={concernHref(c)}>
              <Mark priority={c.priority} />
              <b>{c.what}</b>
              {c.since !== null && (
                <span class="quiet">
                  {w.since(zone.value.moment(c.since, tick.value))} · {lasting(tick.value - c.since)}
                </span>
              )}
            </a>
          </li>
        ))}
      </ul>
    </header>
  );
}

export function MachinePage({ asset }: { asset: Asset }) {
  const pens = useComputed(() => pensOf(query.value.get("pens"), asset));
  const toggle = (path: string): void => {
    const now = pens.peek().map((p) => p.path);
    const next = now.includes(path) ? now.filter((p) => p !== path) : [...now, path];
    setQuery({ pens: next.join(",") }, true);
  };
  const w = words.value;
  const shown = asset.signals.filter((s) => s.id !== "last_good_read");
  return (
    <div class="page machine-page">
      <Head asset={asset} />
      <div class="machine-columns">
        <div class="machine-left">
          {shown.length === 0 ? (
            <section class="panel">
              <Blank title={w.noSignals} hint={w.noSignalsHint} />
            </section>
          ) : (
            <SignalTable asset={asset} signals={shown} pens={pens.value} toggle={toggle} />
          )}
        </div>
        <div class="machine-right">
          <TrendPanel asset={asset} pens={pens.value} toggle={toggle} />
          {(asset.role === "machine" || signalOf(asset, "health") !== undefined || energySignals(asset).length > 0) && (
            <div class="machine-panels">
              <HealthPanel asset={asset} toggle={toggle} />
              <EnergyPanel asset={asset} />
            </div>
          )}
        </div>
      </div>
      {asset.role === "machine" && <Suspense of={OeePanel} props={{ asset }} />}
    </div>
  );
}
