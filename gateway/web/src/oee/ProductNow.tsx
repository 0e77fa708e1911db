/** The product being made at the moment shown, and the way to set another. */

import { api, type Asset } from "../api";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { plant } from "../plant";
import { toldTurn } from "../states";
import { mayTell } from "../stop/right";
import { choosing } from "../stop/opened";
import { productAt } from "./product";
import { at, pageNow } from "../when";

const BACK_MS = 30 * 86_400_000;

export function ProductNow({ asset }: { asset: Asset }) {
  const w = words.value;
  const known = useFetched("products", (abort) => api.products(abort), 3600).value;
  const told = useFetched(
    `${asset.id} ${toldTurn.value}`,
    (abort) => api.events(pageNow() - BACK_MS, pageNow() + 1, "product", abort),
    60,
  ).value;
  if (known.state !== "here" || known.data.length === 0 || plant.value.assets.length === 0) return null;
  const id = told.state === "here" ? productAt(told.data, asset, pageNow()) : null;
  const product = known.data.find((p) => p.id === id);
  const name = product === undefined ? (id ?? w.productNone) : say(product.name);
  return (
    <span class="product-now" title={w.productTitle}>
      <span class="quiet">{w.kpiProduct}</span>
      <b class={id === null ? "quiet" : "live"}>{told.state === "here" ? name : "…"}</b>
      {mayTell() && at.value === null && (
        <button type="button" onClick={() => (choosing.value = { asset, product: id })}>
          {w.change}
        </button>
      )}
    </span>
  );
}
