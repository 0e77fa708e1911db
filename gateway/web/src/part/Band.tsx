/** A state band: one lane of runs over time, drawn to the pixel, with the state under the pointer in words. */

import { type ReadonlySignal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { MODES, type Run, type Signal } from "../api";
import { isStop, type Look, mergeRuns, packmlLook, plainLook, runAt, runNear, stopAround, totals } from "../band";
import { lang, lasting, say, theme, words } from "../locale";
import { zone } from "../plant";
import { severity } from "../quality";
import { lookFills, token } from "./pattern";
import { useWidth } from "./width";
import { tick } from "../when";

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

export function modeName(mode: string): string {
  const known: (typeof MODES)[number] | undefined = MODES.find((m) => m === mode);
  return known === undefined ? words.value.mode_unknown : words.value[`mode_${known}` as const];
}

/** A run's state, and what it waits for. */
export function runName(s: Signal, run: Run): string {
  const waiting = run.told?.waiting ?? null;
  return stateName(s, run.state) + (waiting === null ? "" : ` (${words.value[waiting]})`);
}

/** Everything that is known of a run, a line each. */
export function describeRun(s: Signal, run: Run, now: number): string {
  const w = words.value;
  const at = zone.value;
  const length = run.end - run.start;
  const lines = [`${runName(s, run)}  ${at.moment(run.start, now)} – ${at.moment(Math.min(run.end, now), now)}  ${lasting(length)}`];
  const told = run.told;
  if (told === undefined) return lines.join("\n");
  if (told.mode !== null && told.mode !== "production") lines.push(`${w.mode}: ${modeName(told.mode)}`);
  if (told.reason !== null) {
    const { name, note, person, said } = told.reason;
    lines.push(`${w.reason}: ${say(name)}${note === "" ? "" : ` – ${note}`}`, w.saidBy(person, at.moment(said, now)));
  } else if (isStop(run)) lines.push(`${w.reason}: ${w.noReason}`);
  for (const old of told.former.slice(0, 2)) {
    lines.push(`${w.former}: ${old.code === "" ? w.tookBack : say(old.name)}, ${w.saidBy(old.person, at.moment(old.said, now))}`);
  }
  return lines.join("\n");
}

/** A finger or a hand is this wide. */
const REACH_PX = 4;
const LEAST_PX = 3;
const LABEL_PX = 20;

export function Band(props: {
  signal: Signal;
  runs: ReadonlySignal<readonly Run[]>;
  window: ReadonlySignal<Window>;
  height: number;
  label: string;
  /** A run was chosen by pointer or keys. */
  onOpen?: (run: Run, stop: { readonly start: number; readonly end: number }) => void;
  /** Time under a cursor elsewhere, drawn as a line. */
  cursor?: ReadonlySignal<number | null>;
}) {
  const { signal: s, runs, window: range, height } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [holder, width] = useWidth<HTMLDivElement>();
  const hover = useSignal<number | null>(null);
  /** Keys stand on a run exactly; a pointer is as wide as a finger. */
  const exact = useSignal(false);
  /** Where the keys stood when the focus went elsewhere: a dialog gives it back there. */
  const place = useRef<number | null>(null);
  const drawn = useRef(0);

  useSignalEffect(() => {
    const w = width.value;
    const { start, end } = range.value;
    const all = runs.value;
    void theme.value;
    void lang.value;
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
      for (const span of mergeRuns(all, start, end, w, lookOf(s), LEAST_PX)) {
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
      if (height >= LABEL_PX) label(ink, all, start, end, w);
    });
  });
  useEffect(() => () => cancelAnimationFrame(drawn.current), []);

  /** The reason stands in its stop where there is room for it. */
  function label(ink: CanvasRenderingContext2D, all: readonly Run[], start: number, end: number, w: number): void {
    ink.font = `11px ${token("--font")}`;
    ink.textBaseline = "middle";
    for (const run of all) {
      const reason = run.told?.reason ?? null;
      if (reason === null) continue;
      const from = Math.max(0, ((run.start - start) / (end - start)) * w);
      const to = Math.min(w, ((run.end - start) / (end - start)) * w);
      if (to - from < LABEL_PX) continue;
      const text = say(reason.name);
      if (ink.measureText(text).width > to - from - 6) continue;
      const look = lookOf(s)(run);
      ink.fillStyle = token(look === "down" || look === "held" ? "--panel" : "--text-1");
      ink.fillText(text, from + 3, height / 2 + 2);
    }
  }

  const tip = useComputed(() => {
    const at = hover.value;
    if (at === null) return null;
    const { start, end } = range.value;
    const run = props.onOpen === undefined || exact.value ? runAt(runs.value, at) : runNear(runs.value, at, ((end - start) / Math.max(1, width.value)) * REACH_PX);
    if (run === null) return { text: words.value.noDataYet, style: "left:0" };
    const share = Math.min(1, Math.max(0, (at - start) / (end - start)));
    const style = share > 0.5 ? `right:${Math.max(0, (1 - share) * 100 - 8)}%` : `left:${Math.max(0, share * 100 - 8)}%`;
    return { text: describeRun(s, run, tick.value), style };
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
  /** Where the keys stand. */
  const stand = useComputed(() => {
    const at = exact.value ? hover.value : null;
    const { start, end } = range.value;
    return at === null ? "display:none" : `left:${((at - start) / (end - start)) * 100}%`;
  });
  const timeAt = (event: PointerEvent | MouseEvent): number => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const { start, end } = range.peek();
    return start + ((event.clientX - box.left) / box.width) * (end - start);
  };
  const open = props.onOpen;

  /** Keys go from run to run that is wide enough to be drawn on its own; with Shift from stop to stop, however short. */
  const key = (event: KeyboardEvent): void => {
    const { start, end } = range.peek();
    const least = (LEAST_PX * (end - start)) / Math.max(1, width.peek());
    const inside = (run: Run): number => Math.min(run.end, end) - Math.max(run.start, start);
    const all = runs.peek().filter((run) => (event.shiftKey && open !== undefined ? isStop(run) && inside(run) > 0 : inside(run) >= least));
    const at = hover.peek() ?? end;
    const found =
      event.key === "ArrowLeft" ? (all.findLast((run) => run.end < at) ?? all[0])
      : event.key === "ArrowRight" ? (all.find((run) => run.start > at) ?? all[all.length - 1])
      : event.key === "Home" ? all[0]
      : event.key === "End" ? all[all.length - 1]
      : undefined;
    if (event.key === "Enter" || event.key === " ") {
      const run = runAt(runs.peek(), at);
      if (run !== null) open?.(run, stopAround(runs.peek(), run));
    } else if (found === undefined) return;
    else {
      exact.value = true;
      hover.value = (Math.max(found.start, start) + Math.min(found.end, end)) / 2;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const atRun = useComputed(() => Math.round(hover.value ?? range.value.end));
  const said = useComputed(() => tip.value?.text.replaceAll("\n", ". ") ?? "");
  const { start, end } = range.value;
  return (
    <div
      class={open === undefined ? "band" : "band pickable"}
      ref={holder}
      style={`height:${height}px`}
      onPointerMove={(event) => {
        exact.value = false;
        hover.value = timeAt(event);
      }}
      onPointerLeave={() => (hover.value = null)}
      aria-label={summary}
      {...(open === undefined
        ? { role: "img" as const }
        : {
            role: "slider" as const,
            tabIndex: 0,
            title: words.value.bandHelp,
            "aria-valuemin": Math.round(start),
            "aria-valuemax": Math.round(end),
            "aria-valuenow": atRun,
            "aria-valuetext": said,
            onKeyDown: key,
            onFocus: () => {
              if (hover.peek() !== null) return;
              exact.value = true;
              hover.value = place.current ?? Math.min(range.peek().end, runs.peek()[runs.peek().length - 1]?.end ?? Infinity) - 1;
            },
            onBlur: () => {
              place.current = exact.peek() ? hover.peek() : null;
              hover.value = null;
            },
            onClick: (event: MouseEvent) => {
              const run = runNear(runs.peek(), timeAt(event), ((end - start) / Math.max(1, width.peek())) * REACH_PX);
              if (run !== null) open(run, stopAround(runs.peek(), run));
            },
          })}
    >
      <canvas ref={canvas} style={`height:${height}px`} />
      {props.cursor !== undefined && <i class="cursor-line" style={cursorX} />}
      {open !== undefined && <i class="cursor-line" style={stand} />}
      {tip.value !== null && (
        <span class="tip" style={tip.value.style}>
          {tip.value.text}
        </span>
      )}
    </div>
  );
}
