/** What a machine is used for from now on, or from a moment that a person names. */

import { useSignal } from "@preact/signals";

import { api, type Asset, MODES } from "../api";
import { say, words } from "../locale";
import { modeName } from "../part/Band";
import { SinceForm } from "./SinceForm";

export function ModeDialog({ asset, mode }: { asset: Asset; mode: string | null }) {
  const w = words.value;
  const chosen = useSignal(mode ?? "production");
  return (
    <SinceForm
      title={`${say(asset.name)}: ${w.setMode}`}
      help={w.modeHelp}
      ready={true}
      save={(start) => api.sayMode({ asset: asset.id, start, end: null, mode: chosen.peek() })}
    >
      <fieldset class="choice-list products">
        <legend>{w.mode}</legend>
        {MODES.map((m) => (
          <label key={m}>
            <input type="radio" name="mode" checked={chosen.value === m} onChange={() => (chosen.value = m)} />
            {modeName(m)}
          </label>
        ))}
        {mode !== null && (
          <label>
            <input type="radio" name="mode" checked={chosen.value === ""} onChange={() => (chosen.value = "")} />
            {w.modeBack}
          </label>
        )}
      </fieldset>
    </SinceForm>
  );
}
