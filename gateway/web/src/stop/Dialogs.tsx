/** The dialogs of stops and products, fetched when the first one is opened. */

import "../style/dialog.css";

import { choosing, opened } from "./opened";
import { ProductDialog } from "./ProductDialog";
import { StopDialog } from "./StopDialog";

export function Dialogs() {
  const run = opened.value;
  const product = choosing.value;
  if (run !== null) return <StopDialog about={run} key={`${run.asset.id} ${run.run.start}`} />;
  return product === null ? null : <ProductDialog asset={product.asset} product={product.product} key={product.asset.id} />;
}
