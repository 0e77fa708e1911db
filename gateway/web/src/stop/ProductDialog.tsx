/** Which product a line or a machine makes from now on, or from a moment that a person names. */

import { useSignal } from "@preact/signals";

import { api, type Asset } from "../api";
import { plantNow } from "../clock";
import { useFetched } from "../fetched";
import { say, words } from "../locale";
import { printNumber } from "../number";
import { Failed, Skeleton } from "../part/Blank";
import { Dialog } from "../part/Dialog";
import { Moment } from "../part/Moment";
import { assetOf } from "../plant";
import { toldTurn } from "../states";
import { choosing } from "./opened";
import { refusal } from "./refused";

const AGAIN_MS = 1500;

export function ProductDialog({ asset, product }: { asset: Asset; product: string | null }) {
  const w = words.value;
  const known = useFetched("products", (abort) => api.products(abort), 3600);
  const chosen = useSignal(product ?? "");
  const later = useSignal(false);
  const from = useSignal(Math.floor(plantNow() / 1000) * 1000);
  const busy = useSignal(false);
  const problem = useSignal("");
  const close = (): void => {
    choosing.value = null;
  };
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    busy.value = true;
    problem.value = "";
    try {
      const start = later.peek() ? from.peek() : Math.floor(plantNow());
      const said = await api.sayProduct({ asset: asset.id, start, product: chosen.peek() });
      // The twin has it; where the historian does not yet, it has a moment later.
      if (said.readable !== true) setTimeout(() => (toldTurn.value += 1), AGAIN_MS);
    } catch (error) {
      problem.value = refusal(error);
      busy.value = false;
      return;
    }
    toldTurn.value += 1;
    close();
  };
  const now = known.value;
  return (
    <Dialog title={`${say(asset.name)}: ${w.setProduct}`} close={close}>
      <p class="quiet">{w.productHelp}</p>
      <form class="reason-form" onSubmit={(event) => void submit(event)} aria-busy={busy.value}>
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
        <fieldset class="over">
          <legend>{w.over}</legend>
          <label>
            <input type="radio" name="since" checked={!later.value} onChange={() => (later.value = false)} />
            {w.fromNow}
          </label>
          <label>
            <input type="radio" name="since" checked={later.value} onChange={() => (later.value = true)} />
            <Moment label={w.from} value={from.value} onChange={(ms) => ((from.value = ms), (later.value = true))} />
          </label>
        </fieldset>
        <p class="form-error" role="alert">
          {problem}
        </p>
        <footer>
          <span class="trend-space" />
          <button type="button" onClick={close}>
            {w.cancel}
          </button>
          <button type="submit" class="primary" disabled={busy.value || now.state !== "here"}>
            {busy.value ? `${w.saving}…` : w.save}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
