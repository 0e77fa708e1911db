/** A dialog of the browser's own: it keeps the focus, closes by Escape and gives the focus back. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

import { words } from "../locale";

export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog?.showModal();
    return () => {
      dialog?.close();
      // A dialog that is already gone from the page gives nothing back.
      if (before instanceof HTMLElement && document.activeElement === document.body) before.focus();
    };
  }, []);
  return (
    <dialog
      class="dialog"
      ref={element}
      aria-labelledby={id}
      onClose={props.close}
      onPointerDown={(event) => {
        if (event.target === element.current) props.close();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id={id}>{props.title}</h2>
          <button type="button" class="plain" aria-label={words.value.close} title={words.value.close} onClick={props.close}>
            ×
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
