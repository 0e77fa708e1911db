/** One's own password, with the present one. */

import { useSignal } from "@preact/signals";

import { ApiError, api } from "../api";
import { words } from "../locale";
import { errorHint } from "../part/Blank";
import { ended } from "../plant";

export function OwnPassword() {
  const w = words.value;
  const text = useSignal("");
  const failed = useSignal(false);
  const say = (what: string, wrong: boolean): void => {
    text.value = what;
    failed.value = wrong;
  };
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const given = new FormData(form);
    const next = String(given.get("next") ?? "");
    if (next !== String(given.get("once") ?? "")) return say(w.notTheSame, true);
    try {
      await api.ownPassword(String(given.get("old") ?? ""), next);
      form.reset();
      say(w.passwordChanged, false);
    } catch (error) {
      if (ended(error)) return;
      if (!(error instanceof ApiError)) throw error;
      const wait = error.status === 429 ? w.loginLimited : w.notDone(error.status === 422 ? error.message : errorHint(error));
      say(error.status === 403 ? w.presentWrong : wait, true);
    }
  };
  return (
    <section class="panel" aria-label={w.ownPassword}>
      <header>
        <h2>{w.ownPassword}</h2>
      </header>
      <form class="people-row" onSubmit={(event) => void submit(event)}>
        <label>
          {w.presentPassword}
          <input name="old" type="password" autocomplete="current-password" required />
        </label>
        <label>
          {w.nextPassword}
          <input name="next" type="password" autocomplete="new-password" minLength={10} required />
        </label>
        <label>
          {w.passwordOnce}
          <input name="once" type="password" autocomplete="new-password" minLength={10} required />
        </label>
        <button type="submit" class="primary">
          {w.save}
        </button>
      </form>
      <p class={failed.value ? "told form-error" : "told"} role="status">
        {text.value}
      </p>
    </section>
  );
}
