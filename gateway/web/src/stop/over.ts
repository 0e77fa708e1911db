/** What a reason is said of: the stop, a stretch of it, or a part. */

export interface Span {
  readonly start: number;
  readonly end: number;
}

export type Over = "stop" | "run" | "part";

/** Written times have whole seconds, stops have not. */
const SLACK_MS = 1000;

/**
 * From when to when a reason holds; end null: until the stop ends. Null: the part is none of the stop.
 *
 * The stop, and the stretch at its end, last for as long as the stop goes on.
 */
export function covered(
  over: Over,
  about: { readonly run: Span; readonly stop: Span; readonly part: Span; readonly goesOn: boolean },
): { start: number; end: number | null } | null {
  const { run, stop, part, goesOn } = about;
  const { start, end } = over === "stop" ? stop : over === "run" ? run : part;
  const first = Math.max(start, stop.start);
  if (over !== "part" && goesOn && end >= stop.end) return { start: first, end: null };
  const last = Math.min(end, stop.end);
  const inside = first < last && start >= stop.start - SLACK_MS && end <= stop.end + SLACK_MS;
  return inside ? { start: first, end: last } : null;
}
