/** A dialog that states something from now on, or from a moment that a person names. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import type { Said } from "../api";
import { plantNow } from "../clock";
import { words } from "../locale";
import { Dialog } from "../part/Dialog";
import { Moment } from "../part/Moment";
import { toldTurn } from "../states";
import { choosing } from "./opened";
import { refusal } from "./refused";

const AGAIN_MS = 1500;

export function SinceForm(props: {
  title: string;
  help: string;
  ready: boolean;
  save: (start: number) => Promise<Said>;
  children: ComponentChildren;
}) {
  const w = words.value;
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
      const said = await props.save(later.peek() ? from.peek() : Math.floor(plantNow()));
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
  return (
    <Dialog title={props.title} close={close}>
      <p class="quiet">{props.help}</p>
      <form class="reason-form" onSubmit={(event) => void submit(event)} aria-busy={busy.value}>
        {props.children}
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
          <button type="submit" class="primary" disabled={busy.value || !props.ready}>
            {busy.value ? `${w.saving}…` : w.save}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
