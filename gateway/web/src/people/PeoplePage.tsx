/** One's own password, and for admins all accounts, sessions and what was done to them. */

import "../style/dialog.css";
import "../style/people.css";

import { api } from "../api";
import { useFetched } from "../fetched";
import { words } from "../locale";
import { Failed, Skeleton } from "../part/Blank";
import { session, zone } from "../plant";
import { Accounts } from "./Accounts";
import { OwnPassword } from "./OwnPassword";
import { useTold } from "./told";

export function PeoplePage() {
  const now = session.value;
  const admin = now.state === "in" && now.person.rights.includes("admin");
  return (
    <div class="people">
      <h1>{words.value.people}</h1>
      {admin ? <ForAdmins /> : <p class="quiet">{words.value.onlyAdmins}</p>}
      <OwnPassword />
    </div>
  );
}

function ForAdmins() {
  const w = words.value;
  const told = useTold();
  const people = useFetched(`people ${told.revision.value}`, (abort) => api.people(abort), 10);
  const sessions = useFetched(`sessions ${told.revision.value}`, (abort) => api.sessions(abort), 10);
  const acts = useFetched(`acts ${told.revision.value}`, (abort) => api.acts(abort), 10);
  return (
    <>
      <p class={told.failed.value ? "told form-error" : "told"} role="status">
        {told.text.value}
        {told.secret.value !== "" && <code>{told.secret.value}</code>}
      </p>
      {people.value.state === "loading" && <Skeleton rows={4} />}
      {people.value.state === "failed" && <Failed error={people.value.error} small />}
      {people.value.state === "here" && <Accounts accounts={people.value.data} told={told} />}
      <section class="panel" aria-label={w.sessions}>
        <header>
          <h2>{w.sessions}</h2>
        </header>
        <div class="wide">
          <table>
            <thead>
              <tr>
                <th scope="col">{w.accountName}</th>
                <th scope="col">{w.begun}</th>
                <th scope="col">{w.address}</th>
                <th scope="col" class="agent">
                  {w.browser}
                </th>
                <th scope="col" class="r" aria-label={w.endSession} />
              </tr>
            </thead>
            <tbody>
              {sessions.value.state === "here" &&
                sessions.value.data.map((s) => (
                  <tr key={s.id}>
                    <th scope="row">{s.name}</th>
                    <td>{zone.value.local(s.begun)}</td>
                    <td>{s.address}</td>
                    <td class="agent" title={s.agent}>
                      {s.agent}
                    </td>
                    <td class="r">
                      <button type="button" onClick={() => void told.act(() => api.endSession(s.id), `${s.name}: ${w.act("session ended")}`)}>
                        {w.endSession}
                      </button>
                    </td>
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
      </section>
      <section class="panel" aria-label={w.acts}>
        <header>
          <h2>{w.acts}</h2>
        </header>
        <ol class="acts">
          {acts.value.state === "here" && acts.value.data.length === 0 && <li class="quiet">{w.nothingDone}</li>}
          {acts.value.state === "here" &&
            acts.value.data.slice(0, 50).map((act, i) => (
              <li key={`${act.time} ${i}`}>
                <span class="quiet">{zone.value.local(act.time)}</span> <b>{act.about}</b> {w.act(act.what)}{" "}
                <span class="quiet">({act.person})</span>
              </li>
            ))}
        </ol>
      </section>
    </>
  );
}
