/** How the data comes: each edge's link, and up to when it is complete. */

import type { EdgeLink } from "../api";
import { nameOfEdge } from "../attention";
import { links } from "../live";
import { lasting, words } from "../locale";
import { NOTHING } from "../number";
import { Blank } from "../part/Blank";
import { Value } from "../part/Value";
import { assetOf, signalOf, zone } from "../plant";
import { at, tick } from "../when";

/** Data this close to now counts as complete: what is derived every ten seconds, and its way. */
const COMPLETE_MS = 30_000;

function Row({ link }: { link: EdgeLink }) {
  const w = words.value;
  const now = tick.value;
  const asset = assetOf(link.edge);
  const outbox = asset === undefined ? undefined : signalOf(asset, "outbox_rows");
  const complete = link.complete_up_to === null || link.complete_up_to === 0 ? null : link.complete_up_to;
  const behind = complete === null ? 0 : now - complete;
  const lost = link.state === "lost";
  return (
    <tr class={lost ? "lost-row" : ""}>
      <th scope="row">
        {nameOfEdge(link.edge)}
        {link.other_plant === true && (
          <span class="other-plant" title={w.otherPlantTitle}>
            {" "}
            {w.otherPlant}
          </span>
        )}
      </th>
      <td>
        <b class={lost ? "link-lost" : "link-state"}>
          {link.state === "up" ? w.linkUp : lost ? w.linkLost : w.linkUnknown}
        </b>
        {link.since !== null && link.since > 0 && (
          <span class="quiet" title={zone.value.moment(link.since, now)}>
            {" "}
            {lasting(now - link.since)}
          </span>
        )}
      </td>
      <td class="complete">
        {link.best_effort ? (
          <span class="quiet" title={w.bestEffortTitle}>
            {w.bestEffort}
          </span>
        ) : complete === null ? (
          <span class="quiet">{w.linkUnknown}</span>
        ) : (
          <span class="live">
            {zone.value.moment(complete, now)}
            <span class="quiet">
              {"  "}
              {behind > COMPLETE_MS ? w.behind(lasting(behind)) : ""}
            </span>
          </span>
        )}
      </td>
      <td class="r">
        {outbox === undefined || asset === undefined ? (
          <span class="quiet">{NOTHING}</span>
        ) : (
          <Value signal={outbox} asset={asset} unit={false} badge={false} />
        )}
      </td>
    </tr>
  );
}

export function Links() {
  const w = words.value;
  const all = links.value;
  return (
    <section class="panel links" aria-label={w.data}>
      <header>
        <h2>{w.data}</h2>
      </header>
      {at.value !== null ? (
        <Blank title={w.notPast} hint={w.notPastHint} small />
      ) : all.length === 0 ? (
        <Blank title={w.noDataYet} hint={w.noDataHint} small />
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">{w.edge}</th>
              <th scope="col">{w.link}</th>
              <th scope="col">{w.completeUpTo}</th>
              <th scope="col" class="r">
                {w.outbox}
              </th>
            </tr>
          </thead>
          <tbody>
            {all.map((link) => (
              <Row key={link.edge} link={link} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
