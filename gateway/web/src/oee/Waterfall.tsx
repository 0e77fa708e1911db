/** From planned busy time down to good parts at ideal speed, loss by loss; a table whose bars hang where the last ended. */

import type { Kpi } from "../api";
import { lasting, say, words } from "../locale";
import { printShare } from "../number";
import { stepsOf } from "./step";

export function Waterfall({ row }: { row: Kpi }) {
  const w = words.value;
  if (row.losses.length === 0) return <p class="quiet">{w.lossesNone}</p>;
  const steps = stepsOf(row, w.time_pbt_s, row.oee === null ? w.restTime : w.goodTime, say);
  const total = Math.max(1, row.times.pbt_s);
  // Faster than planned reaches beyond the planned time.
  const wide = Math.max(total, ...steps.map((s) => s.from + Math.abs(s.seconds)));
  return (
    <table class="waterfall">
      <thead class="visually-hidden">
        <tr>
          <th scope="col">{w.losses}</th>
          <td />
          <th scope="col">{w.duration}</th>
          <th scope="col">{w.share}</th>
        </tr>
      </thead>
      <tbody>
        {steps
          .filter((s) => s.whole || Math.abs(s.seconds) >= 0.5)
          .map((s) => (
            <tr key={s.key} class={s.whole ? "whole" : ""}>
              <th scope="row">{s.name}</th>
              <td class="fall" aria-hidden="true">
                <i style={`left:${Math.max(0, (s.from / wide) * 100)}%;width:${(Math.abs(s.seconds) / wide) * 100}%`} />
              </td>
              <td class="r live">
                {s.seconds < 0 && "−"}
                {lasting(Math.abs(s.seconds) * 1000)}
              </td>
              <td class="r quiet">{printShare(s.seconds / total)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
