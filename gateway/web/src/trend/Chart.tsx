/** One lane of a trend: uPlot with our inks, our plant time, quality shading and every way to zoom. */

import { type ReadonlySignal, type Signal as Cell, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import { theme, words } from "../locale";
import { printNumber } from "../number";
import type { Window } from "../part/Band";
import { hatch, token } from "../part/pattern";
import { zone } from "../plant";
import { axisLabel, axisTimes } from "../zone";
import { watchGestures } from "./gesture";
import { DASHES, type Lane } from "./pens";
import { EMPTY, isolated, plotted, type Series, shades } from "./series";

export const AXIS_PX = 58;
export const RIGHT_PX = 12;

/** Decimals that tell multiples of a step apart: 2 for 0.25, 0 for 5. */
function placesOf(step: number): number {
  for (let places = 0; places < 6; places++) {
    const scaled = step * 10 ** places;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6) return places;
  }
  return 6;
}

export interface Control {
  /** Zoom to a chosen span. */
  readonly select: (from: number, to: number) => void;
  readonly zoom: (factor: number, around: number) => void;
  readonly pan: (share: number) => void;
  readonly reset: () => void;
}

const SYNC = "trend";

export function Chart(props: {
  lane: Lane;
  data: ReadonlySignal<ReadonlyMap<string, Series>>;
  window: ReadonlySignal<Window>;
  /** Up to when the newest value still holds: now, where the window reaches it; null: it does not. */
  until: ReadonlySignal<number | null>;
  width: ReadonlySignal<number>;
  height: number;
  axis: boolean;
  cursor: Cell<number | null>;
  control: Control;
}) {
  const { lane, data, window: range, width, height } = props;
  const holder = useRef<HTMLDivElement | null>(null);
  const plot = useRef<uPlot | null>(null);
  const frame = useRef(0);
  const shown = theme.value;
  const inks = lane.pens.map((p) => `${p.path}:${p.ink}`).join(",");

  const refill = (): void => {
    const u = plot.current;
    if (u === null) return;
    const { start, end } = range.peek();
    const now = props.until.peek();
    const tables = lane.pens.map((p) => plotted(data.peek().get(p.path) ?? EMPTY, p.signal, now));
    // Where pens are sampled at different times, undefined means "not here" and null means "a gap".
    const joined = tables.length === 1 ? (tables[0] as uPlot.AlignedData) : uPlot.join(tables as uPlot.AlignedData[], tables.map(() => [2, 2]));
    u.batch(() => {
      u.setData(joined, false);
      u.setScale("x", { min: start, max: end });
    });
  };

  useEffect(() => {
    const target = holder.current;
    if (target === null || width.peek() === 0) return undefined;
    const u = new uPlot(optionsFor(), [[], ...lane.pens.map(() => [])] as unknown as uPlot.AlignedData, target);
    plot.current = u;
    const stop = watchGestures(u.over, {
      timeAt: (px) => u.posToVal(px, "x"),
      ...props.control,
    });
    refill();
    return () => {
      stop();
      plot.current = null;
      u.destroy();
    };
  }, [inks, shown, height, props.axis, width.value === 0]);

  useSignalEffect(() => {
    void data.value;
    void range.value;
    void props.until.value;
    cancelAnimationFrame(frame.current);
    frame.current = requestAnimationFrame(refill);
  });
  useSignalEffect(() => {
    const w = width.value;
    if (w > 0) plot.current?.setSize({ width: w, height });
  });
  useEffect(() => () => cancelAnimationFrame(frame.current), []);

  function optionsFor(): uPlot.Options {
    const grid = { stroke: token("--line"), width: 1 };
    const font = `12px ${token("--font")}`;
    const axis = { stroke: token("--text-3"), font, grid, ticks: { ...grid, size: 4 } };
    const decimals = Math.max(...lane.pens.map((p) => p.signal.decimals));
    return {
      width: width.peek(),
      height,
      ms: 1,
      padding: [6, RIGHT_PX, props.axis ? 0 : 4, 0],
      legend: { show: false },
      cursor: {
        sync: { key: SYNC, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 6, width: 1 },
        y: false,
      },
      scales: {
        x: { time: true, auto: false },
        y: {
          range: (_u, low, high) => {
            if (low === null || high === null || !Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
            const room = Math.max((high - low) * 0.08, 10 ** -decimals);
            return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
          },
        },
      },
      axes: [
        {
          ...axis,
          show: props.axis,
          size: 26,
          splits: (u, _i, min, max) => axisTimes(zone.peek(), min, max, Math.max(2, u.bbox.width / devicePixelRatio / 90)).times,
          values: (u, splits) => {
            const step = splits.length > 1 ? (splits[1] as number) - (splits[0] as number) : (u.scales["x"]?.max ?? 0) - (u.scales["x"]?.min ?? 0);
            return splits.map((t) => axisLabel(zone.peek(), t, step));
          },
        },
        {
          ...axis,
          size: AXIS_PX,
          space: 28,
          values: (_u, splits) => {
            const step = splits.length > 1 ? Math.abs((splits[1] as number) - (splits[0] as number)) : 1;
            const places = placesOf(step);
            return splits.map((v) => printNumber(v, places));
          },
        },
      ],
      series: [
        {},
        ...lane.pens.map((pen): uPlot.Series => ({
          label: pen.path,
          stroke: token(`--pen-${pen.ink}`),
          width: 1.5,
          dash: [...(DASHES[pen.dash] ?? [])],
          points: { show: false, size: 4, fill: token(`--pen-${pen.ink}`), filter: (u, i) => isolated((u.data[i] ?? []) as (number | null | undefined)[]) },
          spanGaps: false,
          ...(pen.signal.kind === "measurement" ? {} : { paths: stepped }),
        })),
      ],
      hooks: {
        drawClear: [shade],
        draw: [limits],
        setSelect: [
          (u) => {
            const { left, width: wide } = u.select;
            if (wide < 5) return;
            const from = u.posToVal(left, "x");
            const to = u.posToVal(left + wide, "x");
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            props.control.select(from, to);
          },
        ],
        setCursor: [
          (u) => {
            const left = u.cursor.left ?? -1;
            props.cursor.value = left < 0 ? null : u.posToVal(left, "x");
          },
        ],
      },
    };
  }

  /** Uncertain spans are shaded, bad ones hatched, under the lines. */
  function shade(u: uPlot): void {
    const now = props.until.peek();
    const { left, top, width: wide, height: tall } = u.bbox;
    const bad = hatch(u.ctx, "", token("--shade-bad"));
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, wide, tall);
    u.ctx.clip();
    for (const pen of lane.pens) {
      for (const span of shades(data.peek().get(pen.path) ?? EMPTY, pen.signal, now)) {
        const a = u.valToPos(span.start, "x", true);
        const b = u.valToPos(span.end, "x", true);
        if (b < left || a > left + wide) continue;
        u.ctx.fillStyle = span.severity === "bad" ? bad : token("--shade-uncertain");
        u.ctx.fillRect(a, top, Math.max(b - a, 1), tall);
      }
    }
    u.ctx.restore();
  }

  /** The range in which a value makes sense, where it is in sight. */
  function limits(u: uPlot): void {
    const only = lane.pens.length === 1 ? lane.pens[0] : undefined;
    const bounds = only?.signal.range ?? null;
    const scale = u.scales["y"];
    if (bounds === null || scale?.min == null || scale.max == null) return;
    u.ctx.save();
    u.ctx.strokeStyle = token("--text-3");
    u.ctx.fillStyle = token("--text-3");
    u.ctx.font = `${11 * devicePixelRatio}px ${token("--font")}`;
    u.ctx.textAlign = "right";
    u.ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const bound of bounds) {
      if (bound <= scale.min || bound >= scale.max) continue;
      const y = Math.round(u.valToPos(bound, "y", true)) + 0.5;
      u.ctx.beginPath();
      u.ctx.moveTo(u.bbox.left, y);
      u.ctx.lineTo(u.bbox.left + u.bbox.width, y);
      u.ctx.stroke();
      u.ctx.fillText(`${words.peek().limit} ${printNumber(bound, only?.signal.decimals ?? 0)}`, u.bbox.left + u.bbox.width - 4, y - 4 * devicePixelRatio);
    }
    u.ctx.restore();
  }

  return <div class="chart" ref={holder} style={`height:${height}px`} />;
}

const stepped = uPlot.paths.stepped?.({ align: 1 }) as uPlot.Series.PathBuilder;
