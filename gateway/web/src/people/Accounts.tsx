/** The accounts: role, password, removal, and a form for a new one. */

import { useSignal } from "@preact/signals";

import { type Account, api, type Role, ROLES } from "../api";
import { words } from "../locale";
import { Dialog } from "../part/Dialog";
import { session } from "../plant";
import type { Told } from "./told";

interface Question {
  readonly text: string;
  readonly button: string;
  readonly act: () => Promise<boolean>;
}

export function Accounts({ accounts, told }: { accounts: readonly Account[]; told: Told }) {
  const w = words.value;
  const question = useSignal<Question | null>(null);
  const mine = session.value.state === "in" ? session.value.person.name : "";
  const askPassword = (name: string): void => {
    const act = () => told.act(() => api.setPassword(name), w.madePassword(name), (made) => made.password);
    question.value = { text: w.surePassword(name), button: w.newPassword, act };
  };
  const askRemove = (name: string): void => {
    const act = () => told.act(() => api.removePerson(name), `${name}: ${w.act("removed")}`);
    question.value = { text: w.sureRemove(name), button: w.removeAccount, act };
  };
  return (
    <section class="panel" aria-label={w.accounts}>
      <header>
        <h2>{w.accounts}</h2>
      </header>
      <div class="wide">
        <table>
          <thead>
            <tr>
              <th scope="col">{w.accountName}</th>
              <th scope="col">{w.role}</th>
              <th scope="col" class="r">
                {w.sessionCount}
              </th>
              <th scope="col" class="r" aria-label={w.newPassword} />
            </tr>
          </thead>
          <tbody>
            {accounts.map((a) => (
              <tr key={a.name}>
                <th scope="row">
                  {a.name} {a.damaged && <b class="form-error">{w.damaged}</b>}
                </th>
                <td>
                  <RoleSelect
                    label={`${w.role}: ${a.name}`}
                    role={a.role}
                    choose={(role) =>
                      void told.act(() => api.setRole(a.name, role), w.sureRole(a.name, w[`right_${role}`]))
                    }
                  />
                </td>
                <td class="r">{a.sessions}</td>
                <td class="r acts-cell">
                  <button type="button" onClick={() => askPassword(a.name)}>
                    {w.newPassword}
                  </button>{" "}
                  <button type="button" disabled={a.name === mine} onClick={() => askRemove(a.name)}>
                    {w.removeAccount}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <NewAccount told={told} />
      {question.value !== null && (
        <Dialog title={w.accounts} close={() => (question.value = null)}>
          <p>{question.value.text}</p>
          <footer class="people-row">
            <button
              type="button"
              class="primary"
              onClick={() => {
                const { act } = question.value ?? {};
                question.value = null;
                void act?.();
              }}
            >
              {question.value.button}
            </button>
            <button type="button" onClick={() => (question.value = null)}>
              {w.cancel}
            </button>
          </footer>
        </Dialog>
      )}
    </section>
  );
}

function RoleSelect(props: { label?: string; name?: string; role: Role; choose?: (role: Role) => void }) {
  const w = words.value;
  return (
    <select
      {...(props.name === undefined ? {} : { name: props.name })}
      {...(props.label === undefined ? {} : { "aria-label": props.label })}
      value={props.role}
      onChange={(event) => props.choose?.(event.currentTarget.value as Role)}
    >
      {ROLES.map((role) => (
        <option key={role} value={role} selected={role === props.role}>
          {w[`right_${role}`]}
        </option>
      ))}
    </select>
  );
}

function NewAccount({ told }: { told: Told }) {
  const w = words.value;
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const given = new FormData(form);
    const name = String(given.get("name") ?? "");
    const password = String(given.get("password") ?? "");
    const role = String(given.get("role") ?? "viewer") as Role;
    const text = password === "" ? w.madePassword(name) : `${name}: ${w.act(`added as ${role}`)}`;
    const add = () => api.addPerson(name, role, password === "" ? null : password);
    if (await told.act(add, text, (made) => made.password)) form.reset();
  };
  return (
    <form class="people-row" onSubmit={(event) => void submit(event)} aria-label={w.addAccount}>
      <label>
        {w.accountName}
        <input name="name" required maxLength={64} autocomplete="off" autocapitalize="none" spellcheck={false} />
      </label>
      <label>
        {w.role}
        <RoleSelect name="role" role="viewer" />
      </label>
      <label>
        {w.passwordOrMade}
        <input name="password" type="password" autocomplete="new-password" />
      </label>
      <button type="submit" class="primary">
        {w.addAccount}
      </button>
    </form>
  );
}
