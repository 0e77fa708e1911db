/** A machine's state: swatch, word and for how long. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset, Signal } from "../api";
import { type Look, packmlLook, plainLook } from "../band";
import { cell } from "../live";
import { lasting, words } from "../locale";
import { judgeSignal, signalOf, zone } from "../plant";
import { stateSince } from "../states";
import { stateName } from "./Band";
import { tick } from "../when";

export function lookNow(s: Signal, asset: Asset): Look {
  const sample = cell(s.path).value;
  const judged = judgeSignal(s, asset, tick.value, sample);
  if (!judged.shown) return "unknown";
  return s.id === "state" ? packmlLook(sample.value) : plainLook(sample.value);
}

/** What a suspended machine waits for, where the twin tells it. */
function waitsFor(s: Signal, asset: Asset): string {
  const waiting = signalOf(asset, "waiting");
  if (s.id !== "state" || waiting === undefined || packmlLook(cell(s.path).value.value) !== "blocked") return "";
  const sample = cell(waiting.path).value;
  if (!judgeSignal(waiting, asset, tick.value, sample).shown) return "";
  return sample.value === 1 ? ` (${words.value.starved})` : sample.value === 2 ? ` (${words.value.blocked})` : "";
}

export function StateWord({ signal: s, asset, time = true }: { signal: Signal; asset: Asset; time?: boolean }) {
  const bits = useMemo(
    () => ({
      swatch: computed(() => `swatch look-${lookNow(s, asset)}`),
      word: computed(() => {
        const judged = judgeSignal(s, asset, tick.value);
        if (judged.quality === "never") return words.value.noDataYet;
        return judged.shown ? stateName(s, cell(s.path).value.value) + waitsFor(s, asset) : stateName(s, null);
      }),
      look: computed(() => `state-word value q-${judgeSignal(s, asset, tick.value).quality}`),
      since: computed(() => {
        const since = stateSince(s.path);
        return since === null || judgeSignal(s, asset, tick.value).quality === "never" ? "" : lasting(tick.value - since);
      }),
      title: computed(() => {
        const since = stateSince(s.path);
        return since === null ? "" : words.value.since(zone.value.moment(since, tick.value));
      }),
    }),
    [s, asset],
  );
  return (
    <span class="state" title={bits.title}>
      <i class={bits.swatch} aria-hidden="true" />
      <span class={bits.look}>{bits.word}</span>
      {time && <span class="state-time">{bits.since}</span>}
    </span>
  );
}
