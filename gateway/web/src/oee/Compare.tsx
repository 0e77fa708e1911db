/** The last seven days as small bars, one a shift (a day, where there are no shifts); a bar opens its shift. */

import type { Kpi } from "../api";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { NOTHING, printCoverage, printShare } from "../number";
import { Failed, Skeleton } from "../part/Blank";
import { api } from "../api";
import { zone } from "../plant";
import { toldTurn } from "../states";
import { pageNow } from "../when";
import type { Period, Span } from "./period";

function sentence(row: Kpi): string {
  const w = words.value;
  const name = say(row.name) || `${zone.value.date(row.start)} ${zone.value.minute(row.start)}`;
  const figure = row.why_not === null ? `${w.oee} ${printShare(row.oee, 0)}` : say(row.why_not);
  return `${name}: ${figure}, ${w.coverageOf(printCoverage(row.coverage))}`;
}

export function Compare(props: { asset: string; week: Span; byShift: boolean; period: Period; choose: (period: Period) => void }) {
  const { week, byShift, period } = props;
  const w = words.value;
  const fetched = useFetched<readonly Kpi[]>(
    `${props.asset} ${week.start} ${byShift} ${toldTurn.value}`,
    async (abort) => (await api.oee(props.asset, week.start, Math.max(week.start + 1, pageNow()), byShift ? "shift" : "day", abort)).rows,
    300,
  );
  const now = fetched.value;
  const title = byShift ? w.compareShifts : w.compareDays;
  const rows = now.state === "here" ? now.data : [];
  return (
    <div class="compare">
      <h3>{title}</h3>
      {now.state === "loading" && <Skeleton rows={2} />}
      {now.state === "failed" && <Failed error={now.error} small />}
      {now.state === "here" && rows.length === 0 && <p class="quiet">{w.noOee}</p>}
      {rows.length > 0 && (
        <ol class="compare-bars">
          {rows.map((row, i) => {
            const here = typeof period !== "string" && period.from === row.start && period.to === row.end;
            const before = rows[i - 1];
            const newDay = before === undefined || zone.value.date(before.start) !== zone.value.date(row.start);
            return (
              <li key={`${row.key} ${row.start}`}>
                <button
                  type="button"
                  aria-pressed={here}
                  aria-label={sentence(row)}
                  title={sentence(row)}
                  onClick={() => props.choose({ from: row.start, to: row.end })}
                >
                  <span class={row.oee === null ? "bar none" : "bar"} aria-hidden="true">
                    <i style={`height:${Math.min(100, Math.max(0, (row.oee ?? 0) * 100))}%`} />
                  </span>
                  <span class="bar-value" aria-hidden="true">
                    {row.oee === null ? NOTHING : printShare(row.oee, 0)}
                  </span>
                </button>
                <span class="bar-day quiet" aria-hidden="true">
                  {newDay ? zone.value.day(row.start) : ""}
                </span>
              </li>
            );
          })}
        </ol>
      )}
    </div>
  );
}
