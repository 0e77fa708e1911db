/** A moment of plant time to write or to pick, never in the browser's zone or order. */

import { useSignal } from "@preact/signals";
import { useEffect, useId, useRef } from "preact/hooks";

import { words } from "../locale";
import { zone } from "../plant";

export function Moment(props: {
  label: string;
  value: number;
  onChange: (ms: number) => void;
  /** The label is read aloud only. */
  quiet?: boolean;
}) {
  const w = words.value;
  const id = useId();
  const wrong = useSignal(false);
  const field = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const text = zone.value.local(props.value);
  useEffect(() => {
    // What is being written is left alone.
    if (field.current !== null && document.activeElement !== field.current) field.current.value = text;
  }, [text]);
  const take = (written: string): void => {
    if (written === text) return;
    const found = zone.peek().parse(written, props.value);
    wrong.value = found === null;
    if (found !== null) props.onChange(found);
  };
  return (
    <span class="moment">
      <label for={id} class={props.quiet === true ? "visually-hidden" : "moment-label"}>
        {props.label}
      </label>
      <span class="moment-field">
        <input
          id={id}
          ref={field}
          type="text"
          inputMode="numeric"
          autocomplete="off"
          spellcheck={false}
          size={19}
          defaultValue={text}
          title={w.moment}
          aria-invalid={wrong.value}
          {...(wrong.value ? { "aria-describedby": `${id}w` } : {})}
          onChange={(event) => take(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            take(event.currentTarget.value);
          }}
        />
        <button type="button" class="moment-pick" aria-label={`${props.label}: ${w.pickMoment}`} title={w.pickMoment} onClick={() => picker.current?.showPicker()}>
          <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
            <path d="M2.5 3.5h11v10h-11zM2.5 6.5h11M5.5 1.5v3M10.5 1.5v3" />
          </svg>
        </button>
        <input
          ref={picker}
          class="moment-picker"
          type="datetime-local"
          step="1"
          tabIndex={-1}
          aria-hidden="true"
          value={text.replace(" ", "T")}
          onChange={(event) => {
            const found = zone.peek().parse(event.currentTarget.value, props.value);
            if (found === null) return;
            wrong.value = false;
            props.onChange(found);
            if (field.current !== null) field.current.value = zone.peek().local(found);
          }}
        />
      </span>
      {wrong.value && (
        <span class="form-error" id={`${id}w`} role="alert">
          {w.momentWrong}
        </span>
      )}
    </span>
  );
}
