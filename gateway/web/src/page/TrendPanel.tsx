/** The trend of a machine: up to six pens in lanes by unit, the state band under them, one time for all. */

import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import type { Asset } from "../api";
import { cell } from "../live";
import { lasting, say, words } from "../locale";
import { NOTHING, printNumber, printUnit } from "../number";
import { errorHint } from "../part/Blank";
import { printValue } from "../part/Value";
import { useWidth } from "../part/width";
import { plant, signalOf, zone } from "../plant";
import { query, setQuery } from "../route";
import { BandLane } from "../trend/BandLane";
import { Chart, type Control } from "../trend/Chart";
import { useTrendData } from "../trend/data";
import { DASHES, lanesOf, MOST_PENS, type Pen } from "../trend/pens";
import { Ranges } from "../trend/Ranges";
import { land, pan, parseRange, printRange, type Range, steppedWindow, windowOf, windowSpan, zoom } from "../trend/range";
import { downsampling, EMPTY, indexAt, type Series, toCsv } from "../trend/series";
import { TrendTable } from "./TrendTable";
import { at as held, knownAt, pageNow, tick } from "../when";
import type { Words } from "../words";

/** The range, kept in the address: read from it, and written back once the hand rests. */
function useRange() {
  const range = useSignal<Range>(parseRange(query.peek()));
  const written = useSignal(JSON.stringify(printRange(range.peek())));
  useSignalEffect(() => {
    const asked = parseRange(query.value);
    const text = JSON.stringify(printRange(asked));
    if (text !== written.peek()) {
      written.value = text;
      range.value = asked;
    }
  });
  useSignalEffect(() => {
    const next = printRange(range.value);
    const timer = setTimeout(() => {
      const text = JSON.stringify(next);
      if (text === written.peek()) return;
      written.value = text;
      setQuery(next, true);
    }, 350);
    return () => clearTimeout(timer);
  });
  return range;
}

function Inked({ ink, dash }: { ink: number; dash: number }) {
  return (
    <svg class="pen-line" width="22" height="8" aria-hidden="true">
      <line x1="0" x2="22" y1="4" y2="4" stroke={`var(--pen-${ink})`} stroke-width="2" stroke-dasharray={(DASHES[dash] ?? []).join(" ")} />
    </svg>
  );
}

function Chip(props: {
  pen: Pen;
  home: Asset;
  series: ReadonlySignal<ReadonlyMap<string, Series>>;
  cursor: ReadonlySignal<number | null>;
  remove: () => void;
}) {
  const { pen } = props;
  const w = words.value;
  const name = pen.asset.id === props.home.id ? say(pen.signal.name) : `${say(pen.asset.name)} ${say(pen.signal.name)}`;
  const reading = useComputed(() => {
    const at = props.cursor.value;
    if (at === null) return printValue(pen.signal, cell(pen.path).value.value);
    const series = props.series.value.get(pen.path) ?? EMPTY;
    const i = indexAt(series.time, at);
    return i < 0 ? NOTHING : printValue(pen.signal, series.value[i] ?? null);
  });
  const note = useComputed(() => {
    const n = downsampling(props.series.value.get(pen.path) ?? EMPTY);
    return n > 1 ? words.value.downsampled(printNumber(n, 0)) : "";
  });
  return (
    <li class="chip">
      <Inked ink={pen.ink} dash={pen.dash} />
      <span>{name}</span>
      {pen.signal.estimated && <span class="tag" title={w.estimatedTitle}>{w.estimated}</span>}
      <b class="live chip-value">{reading}</b>
      <span class="unit">{printUnit(pen.signal.unit)}</span>
      <span class="unit">{note}</span>
      <button type="button" class="plain chip-remove" aria-label={w.removePen(name)} title={w.removePen(name)} onClick={props.remove}>
        ×
      </button>
    </li>
  );
}

function AddPen({ pens, home, toggle }: { pens: readonly Pen[]; home: Asset; toggle: (path: string) => void }) {
  const w = words.value;
  const have = new Set(pens.map((p) => p.path));
  const groups = [home, ...plant.value.assets.filter((a) => a.id !== home.id)];
  return (
    <select
      aria-label={w.addPen}
      disabled={pens.length >= MOST_PENS}
      title={pens.length >= MOST_PENS ? w.penLimit : w.addPen}
      value=""
      onChange={(event) => {
        const path = event.currentTarget.value;
        event.currentTarget.value = "";
        if (path !== "") toggle(path);
      }}
    >
      <option value="">+ {w.addPen}</option>
      {groups.map((a) => (
        <optgroup key={a.id} label={say(a.name)}>
          {a.signals
            .filter((s) => s.kind !== "text" && s.id !== "last_good_read" && !have.has(s.path))
            .map((s) => (
              <option key={s.path} value={s.path}>
                {say(s.name)} {s.unit === "" ? "" : `(${printUnit(s.unit)})`}
              </option>
            ))}
        </optgroup>
      ))}
    </select>
  );
}

/** Where the data of the pens comes from, each source once: its tier and the width of its buckets. */
function sourcesOf(series: ReadonlyMap<string, Series>): string {
  const w = words.value;
  const said = [...series.values()].filter((s) => s.time.length > 0).map((s) => sourceWords(w, s));
  return [...new Set(said)].join("; ");
}

function sourceWords(w: Words, s: Series): string {
  const tier = s.tier === "raw" || s.tier === "minute" || s.tier === "hour" || s.tier === "day" ? w[`tier_${s.tier}`] : w.tier_unknown(s.tier);
  if (s.bucketMs === 0) return w.tierAll(tier);
  const bucket = s.bucketMs < 10_000 ? `${printNumber(s.bucketMs / 1000, s.bucketMs % 1000 === 0 ? 0 : 2)} ${w.unit_s}` : lasting(s.bucketMs);
  return w.tierUsed(tier, bucket);
}

/** Of which moment the page is, and what was known of it; nothing while it is live. */
function seenFrom(): string {
  const { local } = zone.peek();
  const moment = held.peek();
  if (moment === null) return "";
  const believed = knownAt.peek();
  return words.peek().asOf(local(moment)) + (believed === null ? "" : `, ${words.peek().knownAt} ${local(believed)}`);
}

function heightOf(lanes: number): number {
  return lanes <= 1 ? 400 : lanes === 2 ? 220 : lanes === 3 ? 150 : 116;
}

export function TrendPanel({ asset, pens, toggle }: { asset: Asset; pens: readonly Pen[]; toggle: (path: string) => void }) {
  const w = words.value;
  const range = useRange();
  const [holder, width] = useWidth<HTMLDivElement>();
  const cursor = useSignal<number | null>(null);
  const asTable = useSignal(false);
  const live = useComputed(() => range.value.live);
  const frozen = useComputed(() => {
    const at = range.value;
    return held.value === null ? steppedWindow(at, at.live ? tick.value : 0, width.value) : windowOf(at, tick.value);
  });
  const until = useComputed(() => {
    const now = range.value;
    if (now.live) return frozen.value.end;
    return now.from < tick.value && tick.value < now.to ? tick.value : null;
  });
  const data = useTrendData(pens, range, width);
  const { charts, bands } = useMemo(() => lanesOf(pens), [pens]);
  const state = signalOf(asset, "state");
  const control = useMemo<Control>(
    () => ({
      select: (from, to) => (range.value = land({ live: false, from, to: Math.max(to, from + 1000) }, pageNow())),
      zoom: (factor, around) => (range.value = zoom(range.peek(), factor, around, pageNow())),
      pan: (share) => (range.value = pan(range.peek(), share, pageNow())),
      reset: () => (range.value = { live: true, span: range.peek().live ? windowSpan(range.peek()) : 3_600_000 }),
    }),
    [],
  );
  useEffect(() => {
    cursor.value = null;
  }, [asset.id]);

  const key = (event: KeyboardEvent): void => {
    const { start, end } = frozen.peek();
    const centre = live.peek() ? end : (start + end) / 2;
    const act: Record<string, () => void> = {
      ArrowLeft: () => control.pan(-0.2),
      ArrowRight: () => control.pan(0.2),
      "+": () => control.zoom(0.6, centre),
      "=": () => control.zoom(0.6, centre),
      "-": () => control.zoom(1 / 0.6, centre),
      Home: control.reset,
      End: control.reset,
    };
    const found = act[event.key];
    if (found === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    found();
  };

  const save = (): void => {
    const { start, end } = frozen.peek();
    const columns = pens.map((p) => ({
      name: `${say(p.asset.name)} ${say(p.signal.name)} ${p.path}`,
      unit: p.signal.unit,
      series: data.series.peek().get(p.path) ?? EMPTY,
    }));
    const text = toCsv(columns, start, end, zone.peek().stamp, {
      time: [`${w.time} ${zone.peek().name}`, plant.peek().simulated ? w.simulated : "", seenFrom()].filter((t) => t !== "").join(", "),
      status: w.quality,
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
    link.download = `${plant.peek().simulated ? "sim_" : ""}${asset.id}_${zone.peek().date(start)}_${zone.peek().clock(start).replaceAll(":", "")}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };

  const sources = useComputed(() => sourcesOf(data.series.value));
  const caption = useComputed(() => {
    const { start, end } = frozen.value;
    return `${zone.value.date(start)} ${zone.value.clock(start)} – ${zone.value.moment(end, start)}  (${lasting(end - start)})  ${zone.value.name}`;
  });
  const summary = useComputed(() =>
    words.value.trendSummary(
      pens.map((p) => say(p.signal.name)).join(", "),
      zone.value.moment(frozen.value.start, tick.value),
      zone.value.moment(frozen.value.end, tick.value),
    ),
  );
  const empty = useComputed(
    () => !data.busy.value && pens.length > 0 && [...data.series.value.values()].every((s) => s.time.length === 0),
  );
  return (
    <section class="panel trend" aria-label={w.trend}>
      <header class="trend-head">
        <h2>{w.trend}</h2>
        <Ranges range={range} window={frozen} control={control} />
        <span class="trend-space" />
        <div class="group">
          <button type="button" aria-pressed={asTable.value} onClick={() => (asTable.value = !asTable.value)}>
            {w.table}
          </button>
          <button type="button" title={w.csvTitle} disabled={pens.length === 0} onClick={save}>
            {w.csv}
          </button>
        </div>
      </header>
      <ul class="chips" aria-label={w.pens}>
        {[...charts.flatMap((l) => l.pens), ...bands].map((pen) => (
          <Chip key={pen.path} pen={pen} home={asset} series={data.series} cursor={cursor} remove={() => toggle(pen.path)} />
        ))}
        <li>
          <AddPen pens={pens} home={asset} toggle={toggle} />
        </li>
      </ul>
      {data.error.value !== null && (
        <p class="trend-error" role="status">
          <span>
            {w.noHistory} <span class="quiet">{errorHint(data.error.value)}</span>
          </span>
          <button type="button" onClick={data.again}>
            {w.tryAgain}
          </button>
        </p>
      )}
      <div class="lanes-holder" ref={holder}>
        {asTable.value ? (
          <TrendTable pens={pens} series={data.series} window={frozen} />
        ) : (
          // A chart is read by keys as well: the group takes the focus and says what it shows.
          <div
            class={data.busy.value ? "lanes busy" : "lanes"}
            tabIndex={0}
            role="group"
            aria-label={`${summary.value}. ${w.trendHelp}`}
            title={w.trendHelp}
            onKeyDown={key}
          >
            {pens.length === 0 && <p class="lane-empty quiet">{w.noPens}</p>}
            {charts.map((lane, i) => (
              <div class="lane" key={lane.key}>
                <span class="lane-unit unit">{printUnit(lane.unit)}</span>
                <Chart
                  lane={lane}
                  data={data.series}
                  window={frozen}
                  until={until}
                  width={width}
                  height={heightOf(charts.length) + (i === charts.length - 1 ? 26 : 0)}
                  axis={i === charts.length - 1}
                  cursor={cursor}
                  control={control}
                />
              </div>
            ))}
            {empty.value && <p class="lane-none quiet">{w.noPoints}</p>}
            {bands.map((pen) => (
              <BandLane key={pen.path} signal={pen.signal} asset={pen.asset} window={frozen} range={range} cursor={cursor} />
            ))}
            {state !== undefined && !bands.some((p) => p.path === state.path) && (
              <BandLane signal={state} asset={asset} window={frozen} range={range} cursor={cursor} />
            )}
          </div>
        )}
      </div>
      <footer class="trend-foot quiet">
        <span>
          {cursor.value === null ? caption.value : zone.value.stamp(cursor.value).slice(0, 19)}
        </span>
        <span class="trend-source">{sources}</span>
        <span class="trend-space" />
        <span class="shade-key uncertain">{w.uncertainSpan}</span>
        <span class="shade-key bad">{w.bad}</span>
      </footer>
    </section>
  );
}
