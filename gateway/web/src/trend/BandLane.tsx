/** A state signal's runs over the window of the trend, the last one carried on live. */

import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from "@preact/signals";

import type { Asset, Run, Signal } from "../api";
import { extendRuns } from "../band";
import { ageClass, useFetched } from "../fetched";
import { cell } from "../live";
import { say, words } from "../locale";
import { Band, type Window } from "../part/Band";
import { canBeTold, fetchRuns, toldTurn } from "../states";
import { type Opened, opened } from "../stop/opened";
import { at, pageNow, tick } from "../when";
import { AXIS_PX, RIGHT_PX } from "./Chart";
import { printRange, type Range, windowOf } from "./range";

/** Longer than this a band would be thousands of runs, none of them a pixel wide. */
const MOST_MS = 35 * 86_400_000;

export function BandLane(props: {
  signal: Signal;
  asset: Asset;
  window: ReadonlySignal<Window>;
  range: ReadonlySignal<Range>;
  cursor: ReadonlySignal<number | null>;
}) {
  const { signal: s, asset } = props;
  const settled = useSignal("");
  useSignalEffect(() => {
    const text = JSON.stringify(printRange(props.range.value));
    const timer = setTimeout(() => (settled.value = text), settled.peek() === "" ? 0 : 200);
    return () => clearTimeout(timer);
  });
  const fetched = useFetched<readonly Run[]>(
    settled.value === "" ? null : `${s.path} ${settled.value} ${toldTurn.value}`,
    async (abort) => {
      const now = pageNow();
      const { start, end } = windowOf(props.range.peek(), now);
      const last = Math.min(end, now);
      return start >= last || end - start > MOST_MS ? [] : fetchRuns(s.path, start, last, abort);
    },
    60,
  );
  const kept = useSignal<readonly Run[]>([]);
  useSignalEffect(() => {
    const now = fetched.value;
    if (now.state === "here") kept.value = now.data;
  });
  // Between now and the past nothing stays.
  useSignalEffect(() => {
    void (at.value === null);
    if (fetched.peek().state === "loading") kept.value = [];
  });
  const follows = useComputed(() => props.range.value.live && at.value === null);
  // Live changes since the fetch are folded in, so that a state that came and went stays.
  useSignalEffect(() => {
    const sample = cell(s.path).value;
    if (follows.value && kept.peek().length > 0 && sample.time > 0) kept.value = extendRuns(kept.peek(), sample, sample.time);
  });
  const runs = useComputed(() => (follows.value ? extendRuns(kept.value, cell(s.path).value, tick.value) : kept.value));
  const name = s.id === "state" ? words.value.state : say(s.name);
  const open = canBeTold(s.path) ? { onOpen: (run: Run, stop: Opened["stop"]) => (opened.value = { asset, signal: s, run, stop }) } : {};
  return (
    <div class={`lane-band ${ageClass(fetched.value)}`} style={`padding-right:${RIGHT_PX}px;grid-template-columns:${AXIS_PX}px minmax(0,1fr)`}>
      <span class="lane-band-name" title={s.path}>
        {name}
      </span>
      <Band signal={s} runs={runs} window={props.window} height={24} label={`${say(asset.name)} ${name}`} cursor={props.cursor} {...open} />
    </div>
  );
}
