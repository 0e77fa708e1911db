/** What stands where content is not: loading, empty, failed. Each names its cause and the next step. */

import type { ComponentChildren } from "preact";

import type { ApiError } from "../api";
import { words } from "../locale";
import { lineHref } from "../route";
import { plant } from "../plant";

export function Blank(props: { title: string; hint?: string; children?: ComponentChildren; small?: boolean }) {
  return (
    <div class={props.small === true ? "blank small" : "blank"} role="status">
      {props.small === true ? <p class="blank-title">{props.title}</p> : <h1 class="blank-title">{props.title}</h1>}
      {props.hint !== undefined && <p>{props.hint}</p>}
      {props.children}
    </div>
  );
}

export function Loading() {
  return (
    <div class="blank" role="status">
      <p class="blank-title">{words.value.loading}…</p>
    </div>
  );
}

/** Grey bars of the size of what comes, on first load only. */
export function Skeleton({ rows }: { rows: number }) {
  return (
    <div class="skeleton" role="status" aria-label={words.value.loading}>
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} />
      ))}
    </div>
  );
}

export function errorHint(error: ApiError): string {
  if (error.status === 0) return words.value.noAnswer;
  return `${error.status} ${error.message}`;
}

export function Failed(props: { error: ApiError; again?: () => void; small?: boolean }) {
  return (
    <Blank title={words.value.loadFailed} hint={errorHint(props.error)} small={props.small === true}>
      {props.again !== undefined && (
        <button type="button" onClick={props.again}>
          {words.value.tryAgain}
        </button>
      )}
    </Blank>
  );
}

export function Missing() {
  const first = plant.value.lines[0];
  return (
    <Blank title={words.value.notFound} hint={words.value.notFoundHint}>
      {first !== undefined && <a href={lineHref(first.id)}>{words.value.goHome}</a>}
    </Blank>
  );
}
