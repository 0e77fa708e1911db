/** OEE of a machine or a line: the figure or why there is none, its losses, its stops, and the shifts before. */

import "../style/oee.css";

import { useComputed, useSignal } from "@preact/signals";

import { api, type Asset, type Oee, type Shift } from "../api";
import { ageClass, useFetched } from "../fetched";
import { say, words } from "../locale";
import { Blank, Failed, Skeleton } from "../part/Blank";
import { Moment } from "../part/Moment";
import { plant, zone } from "../plant";
import { query, setQuery } from "../route";
import { useShifts } from "../shifts";
import { toldTurn } from "../states";
import { at, pageNow, tick } from "../when";
import { Compare } from "./Compare";
import { Headline, Products, Times } from "./Figures";
import { Pareto } from "./Pareto";
import { parsePeriod, type Period, PERIODS, printPeriod, type Span, spanOf } from "./period";
import { ProductNow } from "./ProductNow";
import { Waterfall } from "./Waterfall";

/** The name of the shift, and its crew, where a span is one. */
function shiftName(shifts: readonly Shift[], span: Span): string {
  const shift = shifts.find((s) => s.start === span.start && s.end >= span.end);
  if (shift === undefined) return "";
  return [say(shift.name), shift.crew_name == null ? "" : say(shift.crew_name), shift.note == null ? "" : say(shift.note)].filter((t) => t !== "").join(", ");
}

export function OeePanel({ asset }: { asset: Asset }) {
  const w = words.value;
  const withShifts = plant.value.calendar === true;
  const shifts = useShifts().value;
  const known = shifts.state === "here" ? shifts.data.shifts : [];
  const period: Period = parsePeriod(query.value.get("oee")) ?? (withShifts ? "shift" : "day");
  const custom = useSignal(false);
  const waiting = withShifts && shifts.state === "loading";
  // By the minute: a figure that grows every second would only flicker.
  const end = useComputed(() => at.value ?? Math.floor(tick.value / 60_000) * 60_000).value;
  const span = waiting ? null : spanOf(period, known, end, zone.value);
  const week = spanOf("week", known, end, zone.value);
  const choose = (next: Period): void => setQuery({ oee: printPeriod(next) }, true);
  const key = span === null ? null : `${asset.id} ${span.start} ${span.grows ? "now" : span.end} ${toldTurn.value}`;
  const fetched = useFetched<Oee>(
    key,
    (abort) => {
      const { start, end, grows } = span as NonNullable<typeof span>;
      return api.oee(asset.id, start, grows ? Math.max(start + 1, Math.floor(pageNow())) : end, "range", abort);
    },
    60,
  );
  const now = fetched.value;
  const row = now.state === "here" ? now.data.rows[0] : undefined;
  return (
    <section class="panel oee" aria-label={w.oee}>
      <header class="oee-bar">
        <h2 title={w.oeeTitle}>{w.oee}</h2>
        <div class="group" role="group" aria-label={w.period}>
          {PERIODS.filter((p) => withShifts || p === "day" || p === "week").map((p) => (
            <button
              key={p}
              type="button"
              aria-pressed={period === p && !custom.value}
              onClick={() => {
                custom.value = false;
                choose(p);
              }}
            >
              {p === "week" && !withShifts ? w.period_weekDays : w[`period_${p}`]}
            </button>
          ))}
          <button type="button" aria-pressed={custom.value || typeof period !== "string"} aria-expanded={custom.value} onClick={() => (custom.value = !custom.value)}>
            {w.period_custom}
          </button>
        </div>
        {span !== null && (
          <span class="quiet oee-span">
            {shiftName(known, span)}{" "}
            {zone.value.moment(span.start, end)} – {zone.value.moment(span.end, end)}
          </span>
        )}
        <span class="trend-space" />
        <ProductNow asset={asset} />
      </header>
      {custom.value && (
        <div class="custom-range">
          <Moment label={w.from} value={span?.start ?? pageNow() - 28_800_000} onChange={(ms) => choose({ from: ms, to: Math.max(span?.end ?? pageNow(), ms + 60_000) })} />
          <Moment label={w.to} value={span?.end ?? pageNow()} onChange={(ms) => choose({ from: Math.min(span?.start ?? ms, ms - 60_000), to: ms })} />
        </div>
      )}
      {shifts.state === "failed" ? (
        <Failed error={shifts.error} small />
      ) : waiting || (span !== null && now.state === "loading") ? (
        <Skeleton rows={6} />
      ) : span === null ? (
        <Blank title={period === "last" ? w.noLastShift : w.noShift} hint={w.noShiftHint} small />
      ) : now.state === "failed" ? (
        <Failed error={now.error} small />
      ) : now.state !== "here" || row === undefined ? (
        <Blank title={w.noOee} small />
      ) : (
        <div class={`oee-body ${ageClass(now)}`}>
          <Headline answer={now.data} row={row} />
          <div class="oee-losses">
            <h3>
              {w.losses} <span class="quiet">{w.lossesHint}</span>
            </h3>
            <Waterfall row={row} />
          </div>
          <div class="oee-stops">
            <h3>
              {w.stops} <span class="quiet">{w.stopsHint}</span>
            </h3>
            <Pareto row={row} />
          </div>
          <details class="oee-more" open>
            <summary>{w.times}</summary>
            <Times row={row} />
            <Products row={row} />
          </details>
        </div>
      )}
      {week !== null && !waiting && <Compare asset={asset.id} week={week} byShift={withShifts} period={period} choose={choose} />}
      <details class="oee-how">
        <summary>{w.howComputed}</summary>
        <p>{w.oeeFormula}</p>
        <p>{w.oeeParts}</p>
        <p>{w.oeeUnknown}</p>
      </details>
    </section>
  );
}
