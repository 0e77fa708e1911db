/** The dialogs of stops, products and modes, fetched when the first one is opened. */

import "../style/dialog.css";

import { choosing, opened } from "./opened";
import { ModeDialog } from "./ModeDialog";
import { ProductDialog } from "./ProductDialog";
import { StopDialog } from "./StopDialog";

export function Dialogs() {
  const run = opened.value;
  const about = choosing.value;
  if (run !== null) return <StopDialog about={run} key={`${run.asset.id} ${run.run.start}`} />;
  if (about === null) return null;
  const { kind, asset, word } = about;
  return kind === "mode" ? <ModeDialog asset={asset} mode={word} key={asset.id} /> : <ProductDialog asset={asset} product={word} key={asset.id} />;
}
