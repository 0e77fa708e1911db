/** Plant times under a lane. */

import { type ReadonlySignal, useComputed } from "@preact/signals";

import { zone } from "../plant";
import { axisLabel, axisTimes } from "../zone";
import type { Window } from "./Band";
import { useWidth } from "./width";

export function TimeAxis({ window: range }: { window: ReadonlySignal<Window> }) {
  const [holder, width] = useWidth<HTMLDivElement>();
  const labels = useComputed(() => {
    const { start, end } = range.value;
    const { times, step } = axisTimes(zone.value, start, end, Math.max(2, width.value / 90));
    return times
      .map((t) => ({ x: ((t - start) / (end - start)) * 100, text: axisLabel(zone.value, t, step) }))
      .filter(({ x }) => x > 1.5 && x < 98.5);
  });
  return (
    <div class="axis" ref={holder} aria-hidden="true">
      {labels.value.map(({ x, text }) => (
        <span key={text} style={`left:${x}%`}>
          {text}
        </span>
      ))}
    </div>
  );
}
