/** What the twin refused, in plain words. */

import { ApiError } from "../api";
import { words } from "../locale";
import { ended } from "../plant";

/** The sentence for a failed save; an error of ours is thrown on. */
export function refusal(error: unknown): string {
  const w = words.value;
  if (!(error instanceof ApiError)) throw error;
  if (ended(error)) return "";
  if (error.status === 0) return w.noAnswer;
  if (error.status === 403) return w.refused_403;
  if (error.status === 422) return w.refused_422(error.message);
  if (error.status === 429) return w.refused_429;
  if (error.status === 503) return w.refused_503;
  return w.refused(`${error.status} ${error.message}`);
}
