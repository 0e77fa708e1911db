/** The product being made at the moment shown, and the way to set another. */

import { api, type Asset } from "../api";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { plant } from "../plant";
import { toldTurn } from "../states";
import { mayTell } from "../stop/right";
import { choosing } from "../stop/opened";
import { at, pageNow } from "../when";

export function ProductNow({ asset }: { asset: Asset }) {
  const w = words.value;
  const known = useFetched("products", (abort) => api.products(abort), 3600).value;
  const told = useFetched(`made ${toldTurn.value}`, (abort) => api.madeAt(pageNow(), abort), 60).value;
  if (known.state !== "here" || known.data.length === 0 || plant.value.assets.length === 0) return null;
  const id = (told.state === "here" ? told.data.find((m) => m.asset === asset.id)?.product : null) ?? null;
  const product = known.data.find((p) => p.id === id);
  const name = product === undefined ? (id ?? w.productNone) : say(product.name);
  return (
    <span class="product-now" title={w.productTitle}>
      <span class="quiet">{w.kpiProduct}</span>
      <b class={id === null ? "quiet" : "live"}>{told.state === "here" ? name : "…"}</b>
      {mayTell() && at.value === null && (
        <button type="button" onClick={() => (choosing.value = { kind: "product", asset, word: id })}>
          {w.change}
        </button>
      )}
    </span>
  );
}
