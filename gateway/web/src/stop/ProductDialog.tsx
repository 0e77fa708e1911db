/** Which product a line or a machine makes from now on, or from a moment that a person names. */

import { useSignal } from "@preact/signals";

import { api, type Asset } from "../api";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { printNumber } from "../number";
import { Failed, Skeleton } from "../part/Blank";
import { assetOf } from "../plant";
import { SinceForm } from "./SinceForm";

export function ProductDialog({ asset, product }: { asset: Asset; product: string | null }) {
  const w = words.value;
  const known = useFetched("products", (abort) => api.products(abort), 3600);
  const chosen = useSignal(product ?? "");
  const now = known.value;
  return (
    <SinceForm
      title={`${say(asset.name)}: ${w.setProduct}`}
      help={w.productHelp}
      ready={now.state === "here"}
      save={(start) => api.sayProduct({ asset: asset.id, start, product: chosen.peek() })}
    >
      {now.state === "loading" && <Skeleton rows={3} />}
      {now.state === "failed" && <Failed error={now.error} small />}
      {now.state === "here" && (
        <fieldset class="choice-list products">
          <legend>{w.kpiProduct}</legend>
          {now.data.map((p) => (
            <label key={p.id}>
              <input type="radio" name="product" checked={chosen.value === p.id} onChange={() => (chosen.value = p.id)} />
              {say(p.name)}
              <span class="quiet">
                {Object.entries(p.cycle_s)
                  .map(([id, s]) => w.cycleOf(say(assetOf(id)?.name) || id, printNumber(s, 0)))
                  .join(" · ")}
              </span>
            </label>
          ))}
          <label>
            <input type="radio" name="product" checked={chosen.value === ""} onChange={() => (chosen.value = "")} />
            {w.productsNone}
          </label>
        </fieldset>
      )}
    </SinceForm>
  );
}
