/** The product being made at the moment shown, and the way to set another. */

import { api, type Asset } from "../api";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { plant } from "../plant";
import { toldTurn } from "../states";
import { mayTell } from "../stop/right";
import { choosing } from "../stop/opened";
import { at, pageNow } from "../when";

/** The last word on what `asset` makes at `now`: its own, else its line's. */
export function productAt(
  told: readonly { readonly time: number; readonly asset: string; readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[],
  asset: Asset,
  now: number,
): string | null {
  const begins = (data: Readonly<Record<string, unknown>>, time: number): number => (typeof data["start"] === "number" ? data["start"] : time);
  const said = (data: Readonly<Record<string, unknown>>): number => (typeof data["said"] === "number" ? data["said"] : 0);
  for (const id of [asset.id, asset.line]) {
    const own = told
      .filter((e) => e.kind === "product" && e.asset === id && begins(e.data, e.time) <= now)
      .sort((a, b) => begins(b.data, b.time) - begins(a.data, a.time) || said(b.data) - said(a.data));
    const product = own[0]?.data["product"];
    if (typeof product === "string") return product === "" ? null : product;
  }
  return null;
}

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
