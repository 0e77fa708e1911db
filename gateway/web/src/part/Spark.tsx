/** The last half hour of a signal in the height of a row. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { api, type Signal } from "../api";
import { useFetched } from "../fetched";
import { listen } from "../live";
import { append, EMPTY, fromHistory, plotted, type Series } from "../trend/series";
import { at, pageNow, tick } from "../when";

export const SPARK_MS = 1_800_000;
const WIDE = 120;
const TALL = 22;

export function Spark({ signal: s }: { signal: Signal }) {
  const series = useSignal<Series>(EMPTY);
  const fetched = useFetched(
    s.path,
    (abort) => {
      const now = pageNow();
      return api.history(s.path, now - SPARK_MS, now, WIDE, abort);
    },
    300,
  );
  useEffect(
    () =>
      fetched.subscribe((now) => {
        // Of another moment nothing stays: live samples least of all.
        if (now.state !== "here") series.value = EMPTY;
        else if (now.busy !== true) series.value = fromHistory(now.data, at.peek() === null ? series.peek() : EMPTY);
      }),
    [s.path],
  );
  useEffect(() => {
    let waiting: Series | null = null;
    const stop = listen(s.path, (sample) => {
      waiting = append(waiting ?? series.peek(), sample);
    });
    // A sparkline moves by a pixel in fifteen seconds; once in five is plenty.
    const timer = setInterval(() => {
      if (waiting !== null && !document.hidden) series.value = { ...waiting };
      waiting = null;
    }, 5000);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [s.path]);
  const slow = useComputed(() => Math.floor(tick.value / 15_000) * 15_000 + 15_000);
  const path = useComputed(() => {
    const end = slow.value;
    const start = end - SPARK_MS;
    const [time, value] = plotted(series.value, s, end);
    let low = Infinity;
    let high = -Infinity;
    time.forEach((t, i) => {
      const v = value[i];
      if (t < start || v === null || v === undefined) return;
      low = Math.min(low, v);
      high = Math.max(high, v);
    });
    if (low > high) return "";
    const least = 10 ** -s.decimals;
    const span = Math.max(high - low, least * 4);
    const floor = (high + low - span) / 2;
    let down = false;
    let d = "";
    let lastY = 0;
    time.forEach((t, i) => {
      const v = value[i];
      if (t < start) return;
      if (v === null || v === undefined) {
        down = false;
        return;
      }
      const x = (((t - start) / SPARK_MS) * WIDE).toFixed(1);
      const y = TALL - 2 - ((v - floor) / span) * (TALL - 4);
      if (down && s.kind !== "measurement") d += `L${x} ${lastY.toFixed(1)}`;
      d += `${down ? "L" : "M"}${x} ${y.toFixed(1)}`;
      lastY = y;
      down = true;
    });
    return d;
  });
  return (
    <svg class="spark" viewBox={`0 0 ${WIDE} ${TALL}`} height={TALL} preserveAspectRatio="none" aria-hidden="true">
      <path d={path} vector-effect="non-scaling-stroke" />
    </svg>
  );
}
