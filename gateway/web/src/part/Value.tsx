/** One measured value with all that must be said about it: tag, number, unit, age when it is old. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset, Signal } from "../api";
import { cell } from "../live";
import { lasting, say, words } from "../locale";
import { NOTHING, printNumber, printUnit } from "../number";
import { judgeSignal, signalOf, zone } from "../plant";
import type { Judgement } from "../quality";
import { statusWords } from "../words/status";
import { at, tick } from "../when";

/** The value of a signal in words: a state by its name, a number by its decimals. */
export function printValue(s: Signal, value: number | null): string {
  if (value === null) return NOTHING;
  if (s.kind === "state") return say(s.states[String(value)]) || `${value}`;
  if (isMoment(s)) return zone.value.moment(value, tick.value);
  return printNumber(value, s.decimals);
}

/** A signal whose value is a moment, in ms UTC: printed as plant time. */
function isMoment(s: Signal): boolean {
  return s.unit === "ms" && (s.id === "last_good_read" || s.id === "complete_up_to");
}

/** The unit as it stands behind the value. */
export function unitOf(s: Signal): string {
  return isMoment(s) ? "" : printUnit(s.unit);
}

/** Source time, reason and age, for whoever asks with pointer or focus. */
export function explain(s: Signal, asset: Asset, judged: Judgement): string {
  const w = words.value;
  const sample = cell(s.path).value;
  if (judged.quality === "never") return `${s.path}\n${w.noDataYet}. ${at.value === null ? w.noDataHint : w.noDataThen}`;
  const plantZone = zone.value;
  const lines = [
    s.path,
    `${w.status}: ${statusWords(w, sample.status)}`,
    `${w.sourceTime}: ${plantZone.moment(sample.time, tick.value)} ${plantZone.name}`,
  ];
  const read = s.origin === "edge" ? signalOf(asset, "last_good_read") : undefined;
  const readAt = read === undefined ? null : cell(read.path).value.value;
  if (readAt !== null) lines.push(`${w.lastGoodRead}: ${plantZone.moment(readAt, tick.value)}`);
  if (judged.age !== null) lines.push(`${w.age}: ${lasting(judged.age)}`);
  if (s.estimated) lines.push(w.estimatedTitle);
  return lines.join("\n");
}

/** The word for a judgement's quality. */
export function qualityWord(judged: Judgement, s: Signal): string {
  const w = words.value;
  switch (judged.quality) {
    case "good":
      return w.good;
    case "late":
      return w.late;
    case "stale":
      return w.stale;
    case "uncertain":
      return s.estimated ? w.estimatedWord : w.uncertain;
    case "sim":
      return w.simulated;
    case "bad":
      return w.bad;
    case "link":
      return w.linkLostTag;
    case "never":
      return w.noDataYet;
  }
}

export function Value(props: { signal: Signal; asset: Asset; unit?: boolean; badge?: boolean; brief?: boolean }) {
  const { signal: s, asset } = props;
  const badged = props.badge ?? true;
  // Where a column beside it says the quality in words, a value that never came is a dash.
  const brief = props.brief ?? false;
  const bits = useMemo(() => {
    const judged = computed(() => judgeSignal(s, asset, tick.value));
    return {
      look: computed(() => `value q-${judged.value.quality}${judged.value.shown ? "" : " q-hidden"}`),
      title: computed(() => explain(s, asset, judged.value)),
      tag: computed(() => {
        const now = judged.value;
        if (!now.shown) return "";
        if (s.estimated) return words.value.estimated;
        return now.tag === "sim" ? words.value.simulated : now.tag === "uncertain" ? "?" : "";
      }),
      text: computed(() => {
        if (judged.value.quality === "never" && !brief) return words.value.noDataYet;
        return judged.value.shown ? printValue(s, cell(s.path).value.value) : NOTHING;
      }),
      unit: computed(() => (judged.value.quality === "never" ? "" : unitOf(s))),
      badge: computed(() => {
        const now = judged.value;
        if (now.quality === "link") return words.value.linkLostTag;
        return now.fresh !== "good" && now.age !== null ? lasting(now.age) : "";
      }),
    };
  }, [s, asset, brief]);
  return (
    <span class={bits.look} title={bits.title}>
      <span class="tag">{bits.tag}</span>
      <span class="num">{bits.text}</span>
      {props.unit !== false && <span class="unit">{bits.unit}</span>}
      {badged && <span class="badge">{bits.badge}</span>}
    </span>
  );
}

/** How long ago the value was last known to be true. */
export function Age(props: { signal: Signal; asset: Asset }) {
  const { signal: s, asset } = props;
  const text = useMemo(
    () =>
      computed(() => {
        const { age } = judgeSignal(s, asset, tick.value);
        return age === null ? NOTHING : lasting(age);
      }),
    [s, asset],
  );
  return <>{text}</>;
}
