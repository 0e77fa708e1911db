/** The mode that a person stated of a machine, who said it, and the way to state another. */

import { api, type Asset } from "../api";
import { useFetched } from "../fetched";
import { words } from "../locale";
import { modeName } from "../part/Band";
import { zone } from "../plant";
import { toldTurn } from "../states";
import { at, pageNow } from "../when";
import { choosing } from "./opened";
import { mayTell } from "./right";

export function ModeNow({ asset }: { asset: Asset }) {
  const w = words.value;
  const told = useFetched(`modes ${toldTurn.value}`, (abort) => api.modesAt(pageNow(), abort), 60).value;
  const stated = told.state === "here" ? told.data.find((m) => m.asset === asset.id) : undefined;
  const mayChange = mayTell() && at.value === null && told.state === "here";
  return (
    <div class="key mode-now">
      <span class="key-name">
        {w.mode}{" "}
        {stated !== undefined && (
          <span class="quiet" title={w.saidByTitle}>
            {w.saidBy(stated.person, zone.value.moment(stated.said, pageNow()))}
          </span>
        )}
      </span>
      <span class="key-value words">
        {told.state !== "here" ? "…" : stated === undefined ? <span class="quiet">{w.modeNone}</span> : modeName(stated.mode)}
        {mayChange && (
          <button type="button" onClick={() => (choosing.value = { kind: "mode", asset, word: stated?.mode ?? null })}>
            {w.change}
          </button>
        )}
      </span>
    </div>
  );
}
