/** Every signal of a machine: value, unit, quality, age, and a click to its trend. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset, Origin, Signal } from "../api";
import { cell } from "../live";
import { say, words } from "../locale";
import { Spark } from "../part/Spark";
import { Age, qualityWord, unitOf, Value } from "../part/Value";
import { judgeSignal } from "../plant";
import { statusWords } from "../words/status";
import { MOST_PENS, type Pen } from "../trend/pens";
import { tick } from "../when";

function Row(props: { asset: Asset; signal: Signal; pen: Pen | undefined; full: boolean; toggle: (path: string) => void }) {
  const { asset, signal: s, pen } = props;
  const w = words.value;
  const quality = useMemo(
    () => ({
      word: computed(() => {
        const judged = judgeSignal(s, asset, tick.value);
        return judged.quality === "bad" ? statusWords(words.value, cell(s.path).value.status) : qualityWord(judged, s);
      }),
      look: computed(() => `quality quality-${judgeSignal(s, asset, tick.value).quality}`),
    }),
    [s, asset],
  );
  const drawable = s.kind !== "text";
  return (
    <tr class={pen === undefined ? "" : "penned"}>
      <th scope="row">
        <button
          type="button"
          class="pen-button"
          aria-pressed={pen !== undefined}
          disabled={!drawable || (pen === undefined && props.full)}
          title={pen === undefined && props.full ? w.penLimit : s.path}
          onClick={() => props.toggle(s.path)}
        >
          <i class="pen-ink" style={pen === undefined ? "" : `background:var(--pen-${pen.ink});border-color:var(--pen-${pen.ink})`} aria-hidden="true" />
          <span>{say(s.name)}</span>
        </button>
      </th>
      <td class="r">
        <Value signal={s} asset={asset} badge={false} brief />
      </td>
      <td class="unit">{unitOf(s)}</td>
      <td class={quality.look}>{quality.word}</td>
      <td class="r quiet">
        <Age signal={s} asset={asset} />
      </td>
      <td class="spark-cell">{drawable && s.kind !== "state" && <Spark signal={s} />}</td>
    </tr>
  );
}

const ORDER: readonly Origin[] = ["twin", "edge", "analytics"];

export function SignalTable(props: {
  asset: Asset;
  signals: readonly Signal[];
  pens: readonly Pen[];
  toggle: (path: string) => void;
}) {
  const w = words.value;
  const full = props.pens.length >= MOST_PENS;
  return (
    <section class="panel signals" aria-label={w.signals}>
      <header>
        <h2>{w.signals}</h2>
      </header>
      <table>
        <thead>
          <tr>
            <th scope="col">{w.signal}</th>
            <th scope="col" class="r">
              {w.value}
            </th>
            <th scope="col">{w.unit}</th>
            <th scope="col">{w.quality}</th>
            <th scope="col" class="r" title={w.ageTitle}>
              {w.age}
            </th>
            <th scope="col" class="spark-cell">
              {w.trend} <span class="unit">{w.trend30}</span>
            </th>
          </tr>
        </thead>
        {ORDER.map((origin) => {
          const own = props.signals.filter((s) => s.origin === origin);
          if (own.length === 0) return null;
          return (
            <tbody key={origin}>
              <tr class="group">
                <th colSpan={6} scope="rowgroup">
                  {w.origin} {w[`origin_${origin}`]}
                </th>
              </tr>
              {own.map((s) => (
                <Row
                  key={s.path}
                  asset={props.asset}
                  signal={s}
                  pen={props.pens.find((p) => p.path === s.path)}
                  full={full}
                  toggle={props.toggle}
                />
              ))}
            </tbody>
          );
        })}
      </table>
    </section>
  );
}
