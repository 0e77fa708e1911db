/** The bottom bar: the one clock of the application, and how fresh the page is. */

import { useComputed } from "@preact/signals";

import { pulse, tick } from "../clock";
import { connection, lag } from "../live";
import { words } from "../locale";
import { printNumber } from "../number";
import { plant, zone } from "../plant";
import { at, tick as shown } from "../when";

export function Foot() {
  const w = words.value;
  const time = useComputed(() => zone.value.clock(shown.value));
  const date = useComputed(() => zone.value.date(shown.value));
  const delay = useComputed(() => {
    void pulse.value;
    const ms = lag.peek();
    return ms === null || connection.value.state !== "live" ? "--" : printNumber(ms / 1000, 1);
  });
  const state = connection.value.state;
  return (
    <footer class="foot">
      <span class={`mode mode-${at.value === null ? state : "past"}`}>
        <i aria-hidden="true" />
        {at.value !== null ? w.past : state === "live" ? w.live : state === "lost" ? w.offline : w.connecting}
      </span>
      <span class="foot-clock" role="timer">
        <b>{time}</b> <span class="foot-date">{date}</span>
      </span>
      <span class="quiet zone">
        {w.plantTime} {zone.value.name}
      </span>
      {at.value === null && (
        <span class="quiet" title={w.lagTitle}>
          {w.lag} <span class="lag-value">{delay}</span> s
        </span>
      )}
      {plant.value.simulated && (
        <span class="sim" title={w.simulatedTitle}>
          {w.simulated}
        </span>
      )}
      <span class="foot-space" />
      <span class="quiet foot-socket">
        {w.socket} {state === "live" ? w.linkUp : state === "lost" ? w.linkLost : "…"}
      </span>
      <span class="quiet foot-version">Kaikou {plant.value.version}</span>
    </footer>
  );
}

/** Said in words over the page while nothing arrives. */
export function Disconnected() {
  const now = connection.value;
  const wait = useComputed(() => {
    void pulse.value;
    const at = connection.value;
    return at.state === "lost" && at.retryAt !== null ? Math.max(0, Math.ceil((at.retryAt - performance.now()) / 1000)) : 0;
  });
  if (now.state !== "lost") return null;
  const since = zone.value.moment(now.since, tick.value);
  return (
    <div class="disconnected" role="alert">
      <i aria-hidden="true" />
      {wait.value > 0 ? words.value.disconnected(since, wait.value) : words.value.reconnecting(since)}
    </div>
  );
}
