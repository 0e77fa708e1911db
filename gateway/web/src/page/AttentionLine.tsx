/** Second one: what, where, since when; or that nothing needs anybody. */

import { type Concern, type Item as Said, items, quietSince } from "../attention";
import { connection } from "../live";
import { lasting, words } from "../locale";
import { Mark } from "../part/Mark";
import { zone } from "../plant";
import { machineHref } from "../route";
import { LOOK_BACK_MS } from "../states";
import { pageNow, tick } from "../when";

const SHOWN = 6;

/** To the machine, at the moment it began. */
export function concernHref(c: Concern): string {
  const params: Record<string, string> = {};
  if (c.path !== null) params["pens"] = c.path;
  if (c.since !== null) {
    const until = pageNow();
    const before = Math.max(300_000, (until - c.since) * 0.25);
    if (until - c.since > 1_800_000) {
      params["from"] = String(Math.round(c.since - before));
      params["to"] = String(Math.round(Math.min(until, c.since + 3 * before)));
    }
  }
  return machineHref(c.at ?? c.asset.id, params);
}

function Item({ item }: { item: Said }) {
  const c = item.concern;
  const w = words.value;
  const now = tick.value;
  return (
    <li class={`concern concern-${c.priority}`}>
      <a href={concernHref(c)}>
        <Mark priority={c.priority} />
        <b>{item.name}</b>
        <span class="concern-what">{item.what}</span>
        {c.since !== null && (
          <span class="quiet concern-since">
            {w.since(zone.value.moment(c.since, now))} · {lasting(now - c.since)}
          </span>
        )}
      </a>
    </li>
  );
}

export function AttentionLine() {
  const w = words.value;
  const all = items.value;
  if (connection.value.state === "connecting") {
    return (
      <section class="attention" aria-label={w.attention}>
        <p class="quiet">{w.connecting}…</p>
      </section>
    );
  }
  if (all.length === 0) {
    const since = quietSince.value;
    return (
      <section class="attention" aria-label={w.attention}>
        <p>{since === null ? w.quietLong(lasting(LOOK_BACK_MS)) : w.allQuiet(zone.value.moment(since, tick.value))}</p>
      </section>
    );
  }
  return (
    <section class="attention on" aria-label={w.attention} aria-live="polite">
      <ul>
        {all.slice(0, SHOWN).map((item) => (
          <Item key={item.concern.key} item={item} />
        ))}
        {all.length > SHOWN && <li class="quiet concern-more">{w.and(all.length - SHOWN)}</li>}
      </ul>
    </section>
  );
}
