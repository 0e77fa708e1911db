/** The log-in page. */

import { useSignal } from "@preact/signals";

import { ApiError, api } from "../api";
import { words } from "../locale";
import { errorHint } from "../part/Blank";
import { start } from "../plant";
import { LocaleButtons } from "./Strip";

export function Login() {
  const w = words.value;
  const busy = useSignal(false);
  const wrong = useSignal<ApiError | null>(null);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    busy.value = true;
    wrong.value = null;
    try {
      await api.login(String(form.get("user") ?? ""), String(form.get("password") ?? ""));
      await start();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      wrong.value = error;
    } finally {
      busy.value = false;
    }
  };
  const error = wrong.value;
  const text =
    error === null
      ? ""
      : error.status === 401 || error.status === 403
        ? w.loginWrong
        : error.status === 429
          ? w.loginLimited
          : errorHint(error);
  return (
    <div class="login">
      <div class="login-tools">
        <LocaleButtons />
      </div>
      <main class="login-card">
        <h1>{w.product}</h1>
        <form onSubmit={(event) => void submit(event)}>
          <label>
            {w.user}
            <input name="user" autocomplete="username" autocapitalize="none" spellcheck={false} required autofocus />
          </label>
          <label>
            {w.password}
            <input name="password" type="password" autocomplete="current-password" required />
          </label>
          <p class="form-error" role="alert">
            {text}
          </p>
          <button type="submit" class="primary" disabled={busy.value}>
            {w.logIn}
          </button>
        </form>
        <p class="quiet">{w.loginHint}</p>
      </main>
    </div>
  );
}
