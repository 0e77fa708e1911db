/** The table twin of a trend: the same points in words. */

import { type ReadonlySignal, useComputed } from "@preact/signals";

import { say, words } from "../locale";
import { printNumber, printUnit } from "../number";
import type { Window } from "../part/Band";
import { printValue } from "../part/Value";
import { zone } from "../plant";
import { severity } from "../quality";
import type { Pen } from "../trend/pens";
import { EMPTY, type Series } from "../trend/series";

const MOST_ROWS = 200;

export function TrendTable(props: {
  pens: readonly Pen[];
  series: ReadonlySignal<ReadonlyMap<string, Series>>;
  window: ReadonlySignal<Window>;
}) {
  const w = words.value;
  const rows = useComputed(() => {
    const { start, end } = props.window.value;
    const at = new Map<number, ({ value: number | null; status: number } | undefined)[]>();
    props.pens.forEach((pen, c) => {
      const series = props.series.value.get(pen.path) ?? EMPTY;
      series.time.forEach((t, i) => {
        if (t < start || t > end) return;
        let row = at.get(t);
        if (row === undefined) at.set(t, (row = new Array<undefined>(props.pens.length)));
        row[c] = { value: series.value[i] ?? null, status: series.status[i] ?? 0 };
      });
    });
    return [...at].sort(([a], [b]) => b - a);
  });
  const all = rows.value;
  return (
    <div class="trend-table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">
              {w.time} <span class="unit">{zone.value.name}</span>
            </th>
            {props.pens.map((p) => (
              <th key={p.path} scope="col" class="r">
                {say(p.asset.name)} {say(p.signal.name)} <span class="unit">{printUnit(p.signal.unit)}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {all.slice(0, MOST_ROWS).map(([t, cells]) => (
            <tr key={t}>
              <th scope="row">{zone.value.stamp(t).slice(0, 23)}</th>
              {props.pens.map((p, i) => {
                const found = cells[i];
                if (found === undefined) return <td key={p.path} />;
                const level = severity(found.status);
                return (
                  <td key={p.path} class="r">
                    <span class={`value q-${level}`}>
                      {level === "uncertain" && <span class="tag">{p.signal.estimated ? w.estimated : "?"}</span>}
                      <span class="num">{printValue(p.signal, found.value)}</span>
                    </span>
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      <p class="quiet">{w.rowsShown(Math.min(MOST_ROWS, all.length), all.length) + (all.length === 0 ? `. ${w.noPoints}` : "")}</p>
      <p class="visually-hidden">{printNumber(all.length, 0)}</p>
    </div>
  );
}
