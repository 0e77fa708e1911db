/** A state band: one lane of runs over time, drawn to the pixel, with the state under the pointer in words. */

import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import type { Run, Signal } from "../api";
import { type Look, mergeRuns, packmlLook, plainLook, runAt, totals } from "../band";
import { tick } from "../clock";
import { lasting, say, theme, words } from "../locale";
import { zone } from "../plant";
import { severity } from "../quality";
import { lookFills, token } from "./pattern";
import { useWidth } from "./width";

export interface Window {
  readonly start: number;
  readonly end: number;
}

/** The look of a run: PackML for machine states, a plain grey for any other state signal. */
export function lookOf(s: Signal): (run: Run) => Look {
  const packml = s.id === "state";
  return (run) => {
    if (run.state === null || severity(run.status) === "bad") return "unknown";
    return packml ? packmlLook(run.state) : plainLook(run.state);
  };
}

export function stateName(s: Signal, state: number | null): string {
  return state === null ? words.value.unknownState : say(s.states[String(state)]) || words.value.unknownState;
}

export function Band(props: {
  signal: Signal;
  runs: ReadonlySignal<readonly Run[]>;
  window: ReadonlySignal<Window>;
  height: number;
  label: string;
  onPick?: (at: number) => void;
  /** Time under a cursor elsewhere, drawn as a line. */
  cursor?: ReadonlySignal<number | null>;
}) {
  const { signal: s, runs, window: range, height } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [holder, width] = useWidth<HTMLDivElement>();
  const hover = useSignal<number | null>(null);
  const drawn = useRef(0);

  useSignalEffect(() => {
    const w = width.value;
    const { start, end } = range.value;
    const all = runs.value;
    void theme.value;
    cancelAnimationFrame(drawn.current);
    if (w === 0) return;
    drawn.current = requestAnimationFrame(() => {
      const target = canvas.current;
      const ink = target?.getContext("2d");
      if (target === null || ink === null || ink === undefined) return;
      const ratio = devicePixelRatio;
      target.width = Math.round(w * ratio);
      target.height = Math.round(height * ratio);
      ink.scale(ratio, ratio);
      const fills = lookFills(ink);
      ink.fillStyle = fills.unknown;
      ink.fillRect(0, 0, w, height);
      for (const span of mergeRuns(all, start, end, w, lookOf(s))) {
        // Whole device pixels: seams between neighbours would show as stripes.
        const from = Math.round(span.from * ratio) / ratio;
        const to = Math.max(Math.round(span.to * ratio) / ratio, from + 1 / ratio);
        let y = height;
        for (const { look, part } of span.share) {
          const tall = span.share.length === 1 ? height : part * height;
          y -= tall;
          ink.fillStyle = fills[look];
          ink.fillRect(from, y, to - from, tall);
          if (look === "stopped") {
            ink.fillStyle = token("--line");
            ink.fillRect(from, y, to - from, 1);
            ink.fillRect(from, y + tall - 1, to - from, 1);
          }
          if (look === "down" || look === "held") {
            ink.fillStyle = token(look === "down" ? "--p1" : "--p2");
            ink.fillRect(from, 0, Math.max(to - from, 2), 3);
          }
        }
      }
    });
  });
  useEffect(() => () => cancelAnimationFrame(drawn.current), []);

  const tip = useComputed(() => {
    const at = hover.value;
    if (at === null) return null;
    const run = runAt(runs.value, at);
    if (run === null) return { text: words.value.noDataYet, left: 0 };
    const { start, end } = range.value;
    const now = tick.value;
    const text = `${stateName(s, run.state)}  ${zone.value.moment(run.start, now)} – ${zone.value.moment(Math.min(run.end, now), now)}  ${lasting(run.end - run.start)}`;
    return { text, left: Math.min(82, Math.max(0, ((at - start) / (end - start)) * 100 - 8)) };
  });
  const summary = useComputed(() => {
    const { start, end } = range.value;
    const parts = [...totals(runs.value, start, end)].map(([state, ms]) => `${stateName(s, state)} ${lasting(ms)}`);
    return `${props.label}: ${parts.join(", ")}`;
  });
  const cursorX = useComputed(() => {
    const at = props.cursor?.value ?? null;
    const { start, end } = range.value;
    return at === null || at < start || at > end ? "display:none" : `left:${((at - start) / (end - start)) * 100}%`;
  });
  const timeAt = (event: PointerEvent | MouseEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const { start, end } = range.peek();
    return start + ((event.clientX - box.left) / box.width) * (end - start);
  };
  const pick = props.onPick;
  return (
    <div
      class={pick === undefined ? "band" : "band pickable"}
      ref={holder}
      style={`height:${height}px`}
      role="img"
      aria-label={summary}
      onPointerMove={(event) => (hover.value = timeAt(event))}
      onPointerLeave={() => (hover.value = null)}
      {...(pick === undefined ? {} : { onClick: (event: MouseEvent) => pick(timeAt(event)) })}
    >
      <canvas ref={canvas} style={`height:${height}px`} />
      {props.cursor !== undefined && <i class="cursor-line" style={cursorX} />}
      {tip.value !== null && (
        <span class="tip" style={`left:${tip.value.left}%`}>
          {tip.value.text}
        </span>
      )}
    </div>
  );
}
