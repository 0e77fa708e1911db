/** The choice of a trend's range: presets, the shift, or from and to; and moving about in it. */

import { type ReadonlySignal, type Signal as Cell, useSignal } from "@preact/signals";

import { words } from "../locale";
import { Moment } from "../part/Moment";
import { shiftAt } from "../shift";
import { useShifts } from "../shifts";
import { at, pageNow, tick } from "../when";
import type { Control } from "./Chart";
import { land, type Range, SPANS, windowSpan } from "./range";
import type { Window } from "../part/Band";

export function Ranges(props: { range: Cell<Range>; window: ReadonlySignal<Window>; control: Control }) {
  const { range, window: frozen, control } = props;
  const w = words.value;
  const own = useSignal(false);
  const shifts = useShifts().value;
  const shift = shifts.state === "here" ? shiftAt(shifts.data.shifts, tick.value) : undefined;
  const now = range.value;
  const ofShift = shift !== undefined && !now.live && now.from === shift.start && now.to === shift.end;
  const custom = own.value || (!now.live && !ofShift);
  const { start, end } = frozen.value;
  const middle = (): number => (frozen.peek().start + frozen.peek().end) / 2;
  return (
    <>
      <div class="group" role="group" aria-label={w.range}>
        {SPANS.map((s) => [
          <button
            key={s.key}
            type="button"
            aria-pressed={!custom && now.live && now.span === s.span}
            onClick={() => {
              own.value = false;
              range.value = { live: true, span: s.span };
            }}
          >
            {w[`span_${s.key}`]}
          </button>,
          s.key === "1h" && shift !== undefined && (
            <button
              key="shift"
              type="button"
              aria-pressed={!own.value && ofShift}
              title={w.shiftSpanTitle}
              onClick={() => {
                own.value = false;
                range.value = { live: false, from: shift.start, to: shift.end };
              }}
            >
              {w.span_shift}
            </button>
          ),
        ])}
        <button type="button" aria-pressed={custom} aria-expanded={own.value} onClick={() => (own.value = !own.value)}>
          {w.span_custom}
        </button>
      </div>
      <div class="group">
        <button type="button" aria-label={w.back} title={w.back} onClick={() => control.pan(-0.5)}>
          ‹
        </button>
        <button type="button" aria-label={w.forward} title={w.forward} disabled={now.live} onClick={() => control.pan(0.5)}>
          ›
        </button>
        <button type="button" aria-label={w.zoomIn} title={w.zoomIn} onClick={() => control.zoom(0.5, middle())}>
          +
        </button>
        <button type="button" aria-label={w.zoomOut} title={w.zoomOut} onClick={() => control.zoom(2, range.peek().live ? frozen.peek().end : middle())}>
          −
        </button>
        {at.value === null && (
          <button
            type="button"
            aria-pressed={now.live}
            title={w.toLive}
            onClick={() => {
              own.value = false;
              range.value = { live: true, span: windowSpan(range.peek()) };
            }}
          >
            {w.follow}
          </button>
        )}
      </div>
      {own.value && (
        <div class="custom-range">
          <Moment label={w.from} value={Math.round(start)} onChange={(ms) => (range.value = land({ live: false, from: ms, to: Math.max(end, ms + 60_000) }, pageNow()))} />
          <Moment label={w.to} value={Math.round(end)} onChange={(ms) => (range.value = land({ live: false, from: Math.min(start, ms - 60_000), to: ms }, pageNow()))} />
        </div>
      )}
    </>
  );
}
