/** Stops by reason, longest first, with what they come to together. */

import type { Kpi } from "../api";
import { lasting, say, words } from "../locale";
import { printNumber, printShare } from "../number";

const SHOWN = 10;

export function Pareto({ row }: { row: Kpi }) {
  const w = words.value;
  if (row.stops.length === 0) return <p class="quiet">{w.stopsNone}</p>;
  const all = row.stops.reduce((sum, s) => sum + s.seconds, 0);
  const top = Math.max(1, row.stops[0]?.seconds ?? 1);
  let sum = 0;
  return (
    <table class="pareto">
      <thead>
        <tr>
          <th scope="col">{w.reason}</th>
          <td />
          <th scope="col" class="r">
            {w.duration}
          </th>
          <th scope="col" class="r">
            {w.stopCount}
          </th>
          <th scope="col" class="r">
            {w.cumulative}
          </th>
        </tr>
      </thead>
      <tbody>
        {row.stops.slice(0, SHOWN).map((s) => {
          sum += s.seconds;
          const given = s.code !== "";
          return (
            <tr key={`${s.code} ${s.name.en}`}>
              <th scope="row" class={given ? "" : "quiet"} title={s.kind in KINDS ? w[KINDS[s.kind as keyof typeof KINDS]] : s.kind}>
                {say(s.name) || w.noReason}
              </th>
              <td class="fall" aria-hidden="true">
                <i style={`left:0;width:${(s.seconds / top) * 100}%`} />
              </td>
              <td class="r live">{lasting(s.seconds * 1000)}</td>
              <td class="r live">{printNumber(s.count, 0)}</td>
              <td class="r quiet">{printShare(all > 0 ? sum / all : null, 0)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const KINDS = {
  planned: "kind_planned",
  setup: "kind_setup",
  maintenance: "kind_maintenance",
  malfunction: "kind_malfunction",
  minor: "kind_minor",
  material: "kind_material",
  organisation: "kind_organisation",
  quality: "kind_quality",
  other: "kind_other",
} as const;
