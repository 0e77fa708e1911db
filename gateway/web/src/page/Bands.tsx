/** State bands of the last eight hours, one lane per machine, with the time in each state as the legend. */

import { useComputed } from "@preact/signals";

import type { Asset, Run, Signal } from "../api";
import { LOOKS, packmlLook, totals } from "../band";
import { lasting, say, words } from "../locale";
import { NOTHING, printShare } from "../number";
import { Band, stateName, type Window } from "../part/Band";
import { TimeAxis } from "../part/TimeAxis";
import { signalOf } from "../plant";
import { machineHref } from "../route";
import { canBeTold, LOOK_BACK_MS, stateRuns, statesFailed } from "../states";
import { type Opened, opened } from "../stop/opened";
import { at, tick } from "../when";

/** Share of the known time in which the machine ran; on a phone it stands for the table of totals. */
function runningShare(sum: ReadonlyMap<number | null, number>): number | null {
  let known = 0;
  let running = 0;
  for (const [state, ms] of sum) {
    if (state !== null) known += ms;
    if (packmlLook(state) === "running") running += ms;
  }
  return known === 0 ? null : running / known;
}

interface Lane {
  readonly asset: Asset;
  readonly signal: Signal;
}

export function Bands({ machines }: { machines: readonly Asset[] }) {
  const w = words.value;
  const lanes: Lane[] = machines.flatMap((asset) => {
    const s = signalOf(asset, "state");
    return s === undefined ? [] : [{ asset, signal: s }];
  });
  // The window moves in steps of what a pixel is worth, so that lanes are not redrawn for nothing.
  const end = useComputed(() => at.value ?? Math.ceil(tick.value / 10_000) * 10_000);
  const range = useComputed<Window>(() => ({ start: end.value - LOOK_BACK_MS, end: end.value }));
  const sums = useComputed(() => lanes.map((l) => totals(stateRuns(l.signal.path).value, range.value.start, end.value)));
  const present = useComputed(() => {
    const found = new Set<number | null>();
    for (const sum of sums.value) for (const [state, ms] of sum) if (ms >= 1000) found.add(state);
    const rank = (state: number | null): number => LOOKS.indexOf(packmlLook(state)) * 100 + (state ?? 99);
    return [...found].sort((a, b) => rank(a) - rank(b));
  });
  const failed = useComputed(() => lanes.some((l) => statesFailed(l.signal.path).value));
  if (lanes.length === 0) return null;
  const first = lanes[0] as Lane;
  return (
    <section class="panel bands" aria-label={w.machineStates}>
      <header>
        <h2>
          {w.machineStates} <span class="quiet">{w.lastHours(8)}</span>
        </h2>
        {failed.value && <span class="note">{w.noHistory}</span>}
      </header>
      <div class="bands-grid" style={`--states:${present.value.length}`}>
        <span />
        <span />
        {present.value.map((state) => (
          <span class="legend" key={String(state)}>
            <i class={`swatch look-${packmlLook(state)}`} aria-hidden="true" />
            {stateName(first.signal, state)}
          </span>
        ))}
        {lanes.map((lane, i) => [
          <a key={`${lane.asset.id}n`} class="lane-name" href={machineHref(lane.asset.id)}>
            {say(lane.asset.name)}
          </a>,
          <Band
            key={`${lane.asset.id}b`}
            signal={lane.signal}
            runs={stateRuns(lane.signal.path)}
            window={range}
            height={28}
            label={say(lane.asset.name)}
            {...(canBeTold(lane.signal.path) ? { onOpen: (run: Run, stop: Opened["stop"]) => (opened.value = { asset: lane.asset, signal: lane.signal, run, stop }) } : {})}
          />,
          <span key={`${lane.asset.id}s`} class="lane-share" title={w.state}>
            {printShare(runningShare(sums.value[i] ?? new Map()), 0)}
          </span>,
          ...present.value.map((state) => {
            const ms = sums.value[i]?.get(state) ?? 0;
            return (
              <span key={`${lane.asset.id}${state}`} class="lane-total" title={printShare(ms / LOOK_BACK_MS)}>
                {ms < 1000 ? <span class="quiet">{NOTHING}</span> : lasting(ms)}
              </span>
            );
          }),
        ])}
        <span />
        <TimeAxis window={range} />
      </div>
      <ul class="bands-legend">
        {present.value.map((state) => (
          <li class="legend" key={String(state)}>
            <i class={`swatch look-${packmlLook(state)}`} aria-hidden="true" />
            {stateName(first.signal, state)}
          </li>
        ))}
      </ul>
    </section>
  );
}
