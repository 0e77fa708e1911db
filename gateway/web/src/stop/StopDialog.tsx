/** One run of a machine: what is known of it and, where it is a stop, its reason to set or correct. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { api, type Reason, type ReasonCode, type ReasonKind } from "../api";
import { isStop } from "../band";
import { useFetched } from "../fetched";
import { lasting, say, words } from "../locale";
import { modeName, runName } from "../part/Band";
import { Failed, Skeleton } from "../part/Blank";
import { Dialog } from "../part/Dialog";
import { Moment } from "../part/Moment";
import { zone } from "../plant";
import { machineHref } from "../route";
import { toldTurn } from "../states";
import { at, knownAt, show, tick } from "../when";
import { type Opened, opened } from "./opened";
import { covered, type Over } from "./over";
import { refusal } from "./refused";
import { mayTell } from "./right";

const KINDS: readonly ReasonKind[] = [
  "malfunction",
  "minor",
  "material",
  "organisation",
  "setup",
  "maintenance",
  "quality",
  "planned",
  "other",
];

/** A stop whose end is this close to now goes on. */
const OPEN_MS = 15_000;
const LOOKS = 12;
const LOOK_MS = 400;

function Facts({ about }: { about: Opened }) {
  const w = words.value;
  const { run, signal: s } = about;
  const now = tick.value;
  const told = run.told;
  const who = (r: Omit<Reason, "kind">): string => w.saidBy(r.person, zone.value.moment(r.said, now));
  return (
    <dl class="facts">
      <dt>{w.state}</dt>
      <dd>{runName(s, run)}</dd>
      <dt>{w.duration}</dt>
      <dd>
        {lasting(run.end - run.start)}{" "}
        <span class="quiet">
          {zone.value.moment(run.start, now)} – {zone.value.moment(run.end, now)}
        </span>
      </dd>
      {told?.mode != null && (
        <>
          <dt>{w.mode}</dt>
          <dd>{modeName(told.mode)}</dd>
        </>
      )}
      {isStop(run) && (
        <>
          <dt>{w.reason}</dt>
          <dd>
            {told?.reason == null ? (
              <span class="quiet">{w.noReason}</span>
            ) : (
              <>
                <b>{say(told.reason.name)}</b> {told.reason.note !== "" && <span>– {told.reason.note}</span>}{" "}
                <span class="quiet" title={w.saidByTitle}>
                  {who(told.reason)}
                </span>
              </>
            )}
          </dd>
        </>
      )}
      {told !== undefined && told.former.length > 0 && (
        <>
          <dt>{w.former}</dt>
          <dd>
            <ul>
              {told.former.map((old) => (
                <li key={old.said}>
                  {old.code === "" ? w.tookBack : say(old.name)} {old.note !== "" && `– ${old.note}`} <span class="quiet">{who(old)}</span>
                </li>
              ))}
            </ul>
          </dd>
        </>
      )}
    </dl>
  );
}

/** Reasons by kind; what is searched for is found in either language. */
function Choice(props: { codes: readonly ReasonCode[]; chosen: string; choose: (code: string) => void }) {
  const w = words.value;
  const search = useSignal("");
  const field = useRef<HTMLInputElement>(null);
  // Ready to write where there is a keyboard; a phone's would cover the list.
  useEffect(() => {
    if (matchMedia("(pointer: fine)").matches) field.current?.focus();
  }, []);
  const asked = search.value.trim().toLowerCase();
  const fits = (r: ReasonCode): boolean => `${r.code} ${r.name.zh} ${r.name.en}`.toLowerCase().includes(asked);
  const shown = props.codes.filter(fits);
  if (props.codes.length === 0) return <p class="quiet">{w.noReasonsYet}</p>;
  return (
    <div class="choice">
      <input
        ref={field}
        type="search"
        aria-label={w.searchReason}
        placeholder={w.searchReason}
        value={search.value}
        onInput={(event) => (search.value = event.currentTarget.value)}
      />
      <div class="choice-list">
        {shown.length === 0 && <p class="quiet">{w.noSuchReason}</p>}
        {KINDS.map((kind) => {
          const own = shown.filter((r) => r.kind === kind);
          if (own.length === 0) return null;
          return (
            <fieldset key={kind}>
              <legend>{w[`kind_${kind}`]}</legend>
              {own.map((r) => (
                <label key={r.code}>
                  <input type="radio" name="reason" value={r.code} checked={props.chosen === r.code} onChange={() => props.choose(r.code)} />
                  {say(r.name)}
                </label>
              ))}
            </fieldset>
          );
        })}
      </div>
    </div>
  );
}

/** Wait until what was said can be read back: the page shows nothing that the historian does not know. */
async function readBack(asset: string, start: number, end: number, said: number): Promise<void> {
  for (let look = 0; look < LOOKS; look++) {
    await new Promise((done) => setTimeout(done, LOOK_MS));
    const runs = await api.runs(asset, start, end).catch(() => []);
    if (runs.some((run) => run.told?.reason?.said === said)) return;
  }
}

function Form({ about, close }: { about: Opened; close: () => void }) {
  const w = words.value;
  const { run, asset } = about;
  const had = run.told?.reason ?? null;
  const codes = useFetched("reasons", (abort) => api.reasons(abort), 3600);
  const chosen = useSignal(had?.code ?? "");
  const note = useSignal(had?.note ?? "");
  const { stop } = about;
  const inParts = stop.start < run.start || stop.end > run.end;
  const over = useSignal<Over>(inParts ? "run" : "stop");
  const from = useSignal(run.start);
  const to = useSignal(run.end);
  const busy = useSignal(false);
  const problem = useSignal("");
  // As it was when the dialog opened: "until it ends" stays right when it ends meanwhile.
  const goesOn = useSignal(at.peek() === null && stop.end >= tick.peek() - OPEN_MS).value;
  const span = (a: number, b: number): string =>
    goesOn && b >= stop.end ? `${zone.value.moment(a, tick.value)} – ${w.untilItEnds}` : `${zone.value.moment(a, tick.value)} – ${zone.value.moment(b, tick.value)}`;

  const send = async (code: string): Promise<void> => {
    problem.value = "";
    const part = { start: from.peek(), end: to.peek() };
    const of = covered(over.peek(), { run, stop, part, goesOn });
    if (of === null) {
      problem.value = w.partOutside;
      return;
    }
    busy.value = true;
    try {
      const said = await api.sayReason({ asset: asset.id, ...of, code, note: code === "" ? "" : note.peek().trim() });
      if (said.readable !== true) await readBack(asset.id, of.start, of.end ?? stop.end, said.said);
    } catch (error) {
      problem.value = refusal(error);
      busy.value = false;
      return;
    }
    toldTurn.value += 1;
    close();
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    if (chosen.peek() === "") problem.value = w.chooseReason;
    else void send(chosen.peek());
  };
  const now = codes.value;
  return (
    <form class="reason-form" onSubmit={submit} aria-busy={busy.value}>
      <h3>{had === null ? w.setReason : w.correctReason}</h3>
      {now.state === "loading" && <Skeleton rows={4} />}
      {now.state === "failed" && <Failed error={now.error} small />}
      {now.state === "here" && <Choice codes={now.data} chosen={chosen.value} choose={(code) => (chosen.value = code)} />}
      <label class="line-field">
        <span>
          {w.note} <span class="quiet">{w.noteHint}</span>
        </span>
        <input type="text" maxLength={500} value={note.value} onInput={(event) => (note.value = event.currentTarget.value)} />
      </label>
      <fieldset class="over">
        <legend>{w.over}</legend>
        {inParts && (
          <label>
            <input type="radio" name="over" checked={over.value === "run"} onChange={() => (over.value = "run")} />
            {w.thisStretch} <span class="quiet">{span(run.start, run.end)}</span>
          </label>
        )}
        <label>
          <input type="radio" name="over" checked={over.value === "stop"} onChange={() => (over.value = "stop")} />
          {w.wholeStop} {(inParts || goesOn) && <span class="quiet">{span(stop.start, stop.end)}</span>}
        </label>
        <label>
          <input type="radio" name="over" checked={over.value === "part"} onChange={() => (over.value = "part")} />
          {w.partOfStop}
        </label>
        {over.value === "part" && (
          <span class="over-part">
            <Moment label={w.from} value={from.value} onChange={(ms) => (from.value = ms)} />
            <Moment label={w.to} value={to.value} onChange={(ms) => (to.value = ms)} />
          </span>
        )}
        {goesOn && <p class="quiet">{w.stillGoing}</p>}
      </fieldset>
      <p class="form-error" role="alert">
        {problem}
      </p>
      <footer>
        {had !== null && (
          <button type="button" disabled={busy.value} onClick={() => void send("")}>
            {w.takeBack}
          </button>
        )}
        <span class="trend-space" />
        <button type="button" onClick={close}>
          {w.cancel}
        </button>
        <button type="submit" class="primary" disabled={busy.value}>
          {busy.value ? `${w.saving}…` : w.save}
        </button>
      </footer>
    </form>
  );
}

export function StopDialog({ about }: { about: Opened }) {
  const w = words.value;
  const { asset, signal: s, run } = about;
  const close = (): void => {
    opened.value = null;
  };
  const room = Math.max(900_000, (run.end - run.start) / 4);
  const around = machineHref(asset.id, { from: String(Math.round(run.start - room)), to: String(Math.round(run.end + room)) });
  return (
    <Dialog title={w.stopTitle(say(asset.name), runName(s, run))} close={close}>
      <Facts about={about} />
      <p class="dialog-links">
        <a href={around} onClick={close}>
          {w.trendThen}
        </a>
        <button
          type="button"
          class="link"
          onClick={() => {
            close();
            show({ at: run.start });
          }}
        >
          {w.showThen}
        </button>
      </p>
      {!isStop(run) ? (
        <p class="quiet">{w.running}</p>
      ) : !mayTell() ? (
        <p class="quiet">{w.needsOperator}</p>
      ) : knownAt.value !== null ? (
        <p class="quiet">{w.needsToday}</p>
      ) : (
        <Form about={about} close={close} />
      )}
    </Dialog>
  );
}
