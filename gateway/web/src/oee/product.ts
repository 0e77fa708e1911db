/** What is being made, by what people said. */

import type { Asset, PlantEvent } from "../api";

/** What `asset` makes at `now`: the last that was said to begin, of it or of its line. */
export function productAt(
  told: readonly PlantEvent[],
  asset: Pick<Asset, "id" | "line">,
  now: number,
): string | null {
  const begins = (data: Readonly<Record<string, unknown>>, time: number): number => (typeof data["start"] === "number" ? data["start"] : time);
  const said = (data: Readonly<Record<string, unknown>>): number => (typeof data["said"] === "number" ? data["said"] : 0);
  const own = told
    .filter((e) => e.kind === "product" && (e.asset === asset.id || e.asset === asset.line) && begins(e.data, e.time) <= now)
    .sort((a, b) => begins(b.data, b.time) - begins(a.data, a.time) || said(b.data) - said(a.data));
  const product = own[0]?.data["product"];
  return typeof product === "string" && product !== "" ? product : null;
}
