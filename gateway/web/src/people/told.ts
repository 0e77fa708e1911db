/** What came of the last thing done on the page, said in one place. */

import { type Signal, useSignal } from "@preact/signals";

import { ApiError } from "../api";
import { words } from "../locale";
import { errorHint } from "../part/Blank";
import { ended } from "../plant";

export interface Told {
  readonly text: Signal<string>;
  /** A password that is shown once. */
  readonly secret: Signal<string>;
  readonly failed: Signal<boolean>;
  /** Rises with every change, so that lists are fetched anew. */
  readonly revision: Signal<number>;
  readonly act: <T>(run: () => Promise<T>, text: string, secret?: (answer: T) => string | null) => Promise<boolean>;
}

export function useTold(): Told {
  const text = useSignal("");
  const secret = useSignal("");
  const failed = useSignal(false);
  const revision = useSignal(0);
  const act: Told["act"] = async (run, done, made) => {
    secret.value = "";
    try {
      const answer = await run();
      failed.value = false;
      text.value = done;
      secret.value = made?.(answer) ?? "";
      return true;
    } catch (error) {
      if (ended(error)) return false;
      if (!(error instanceof ApiError)) throw error;
      failed.value = true;
      text.value = words.value.notDone(error.status === 422 ? error.message : errorHint(error));
      return false;
    } finally {
      revision.value += 1;
    }
  };
  return { text, secret, failed, revision, act };
}
