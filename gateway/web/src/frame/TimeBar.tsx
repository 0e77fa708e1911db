/** The clock over the whole page: live, or the past to scrub through, and what was known of it. */

import { signal, useComputed } from "@preact/signals";

import { plantNow, tick as liveTick } from "../clock";
import { lasting, words } from "../locale";
import { Moment } from "../part/Moment";
import { askAgain, pastBusy, pastEmpty, pastError } from "../past";
import { zone } from "../plant";
import { at, type Known, known, knownAt, pageNow, show, tick } from "../when";

const HOUR_MS = 3_600_000;
const REACHES = [1, 8, 24, 168, 720].map((hours) => hours * HOUR_MS);
const STEPS = [-HOUR_MS, -600_000, -60_000, 60_000, 600_000, HOUR_MS];
const FINE = 960;

/** Whether the bar is out; in the past it is, where there is room. */
const wanted = signal(at.peek() !== null && matchMedia("(min-width: 768px)").matches);
const reach = signal(8 * HOUR_MS);

/** The control in the strip: live or as of when; it brings out the bar. */
export function WhenButton() {
  const w = words.value;
  const moment = at.value;
  return (
    <button
      type="button"
      class={moment === null ? "when-button" : "when-button past"}
      title={w.asOfTitle}
      aria-expanded={wanted.value}
      onClick={() => (wanted.value = !wanted.value)}
    >
      <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
        <path d="M7 1.2a5.8 5.8 0 1 1-5.2 3.3M1.2 1.6v3.2h3.2M7 3.8V7l2.2 1.6" />
      </svg>
      <span class="when-word">{moment === null ? w.live : w.asOf(zone.value.moment(moment, liveTick.value))}</span>
    </button>
  );
}

function Slider() {
  const w = words.value;
  // The end stands still under the hand: it follows now in steps that no hand feels.
  const end = useComputed(() => Math.ceil(liveTick.value / 10_000) * 10_000);
  const window = useComputed(() => {
    const moment = at.value;
    const span = reach.value;
    if (moment === null || moment >= end.value - span) return { start: end.value - span, end: end.value };
    return { start: moment - span / 2, end: moment + span / 2 };
  });
  const { start, end: last } = window.value;
  const position = Math.round(((pageNow() - start) / (last - start)) * FINE);
  void tick.value;
  return (
    <span class="slider">
      <input
        type="range"
        min={0}
        max={FINE}
        step={1}
        value={Math.min(FINE, position)}
        aria-label={w.momentShown}
        aria-valuetext={at.value === null ? w.live : zone.value.local(at.value)}
        onInput={(event) => {
          const place = Number(event.currentTarget.value);
          const { start: from, end: to } = window.peek();
          const moment = from + (place / FINE) * (to - from);
          show({ at: place >= FINE && to >= plantNow() ? null : moment });
        }}
      />
      <span class="slider-ends quiet" aria-hidden="true">
        <span>{zone.value.moment(start, liveTick.value)}</span>
        <span>{last >= liveTick.value ? w.live : zone.value.moment(last, liveTick.value)}</span>
      </span>
    </span>
  );
}

function KnownChoice() {
  const w = words.value;
  const now = known.value;
  const choose = (next: Known) => (): void => show({ known: next });
  const moment = at.value;
  if (moment === null) return null;
  return (
    <details class="known">
      <summary>
        {w.knownTitle}: <b>{now === "today" ? w.knownToday : now === "then" ? w.knownThen : `${w.knownAt} ${zone.value.moment(now, moment)}`}</b>
      </summary>
      <fieldset>
        <legend class="quiet">{w.knownHelp}</legend>
        <label>
          <input type="radio" name="known" checked={now === "today"} onChange={choose("today")} />
          {w.knownToday} <span class="quiet">{w.knownTodayHelp}</span>
        </label>
        <label>
          <input type="radio" name="known" checked={now === "then"} onChange={choose("then")} />
          {w.knownThen} <span class="quiet">{w.knownThenHelp}</span>
        </label>
        <label>
          <input type="radio" name="known" checked={typeof now === "number"} onChange={choose(knownAt.value ?? moment)} />
          {w.knownAt} <span class="quiet">{w.knownAtHelp}</span>
        </label>
        {typeof now === "number" && <Moment label={w.knownAt} quiet value={now} onChange={(ms) => show({ known: Math.min(ms, Math.floor(plantNow())) })} />}
      </fieldset>
    </details>
  );
}

export function TimeBar() {
  const w = words.value;
  const moment = at.value;
  if (!wanted.value) return null;
  const step = (ms: number): void => {
    const next = pageNow() + ms;
    show({ at: next >= plantNow() ? null : next });
  };
  return (
    <section class="time-bar" id="time-bar" aria-label={w.timeBar}>
      <div class="time-bar-row">
        <div class="group">
          {STEPS.filter((s) => s < 0).map((s) => (
            <button key={s} type="button" aria-label={w.earlierBy(lasting(-s))} title={w.earlierBy(lasting(-s))} onClick={() => step(s)}>
              −{lasting(-s)}
            </button>
          ))}
        </div>
        <Slider />
        <div class="group">
          {STEPS.filter((s) => s > 0).map((s) => (
            <button key={s} type="button" disabled={moment === null} aria-label={w.laterBy(lasting(s))} title={w.laterBy(lasting(s))} onClick={() => step(s)}>
              +{lasting(s)}
            </button>
          ))}
        </div>
        <select aria-label={w.reach} title={w.reach} value={String(reach.value)} onChange={(event) => (reach.value = Number(event.currentTarget.value))}>
          {REACHES.map((r) => (
            <option key={r} value={String(r)}>
              {lasting(r)}
            </option>
          ))}
        </select>
        <Moment label={w.goTo} value={moment ?? Math.floor(liveTick.value / 60_000) * 60_000} onChange={(ms) => show({ at: ms })} />
        <span class="quiet zone-name">{zone.value.name}</span>
        <KnownChoice />
      </div>
    </section>
  );
}

/** Over the page while it shows the past: plain words and the way back. */
export function PastBanner() {
  const w = words.value;
  const moment = at.value;
  if (moment === null) return null;
  const error = pastError.value;
  const believed = known.value;
  return (
    <div class="past-banner">
      <p role="status">
        <b>{w.pastBanner(zone.value.local(moment), lasting(liveTick.value - moment))}</b>{" "}
        {believed === "then" ? w.pastThen : believed === "today" ? "" : w.pastKnown(zone.value.local(believed))}
      </p>
      {error !== null && <span>{w.pastFailed}</span>}
      {error === null && pastEmpty.value && <span>{w.pastLoading}…</span>}
      {error !== null && (
        <button type="button" onClick={askAgain}>
          {w.tryAgain}
        </button>
      )}
      <button type="button" onClick={() => show({ at: null })}>
        {w.backToLive}
      </button>
    </div>
  );
}

/** How the content looks: nothing of a moment that is not here, dimmed while another is fetched. */
export function pastClass(): string {
  if (at.value === null) return "";
  return pastEmpty.value ? " unfilled" : pastBusy.value ? " filling" : "";
}
