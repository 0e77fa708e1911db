/** The plant clock, kept from what the gateway says; it may run faster than ours (`demo --factor`). */

import { signal } from "@preact/signals";

/** Where plant time stands, and how fast it runs against our own monotonic clock. */
export class PlantClock {
  rate = 1;
  #server = 0;
  #own = 0;
  #probeServer = 0;
  #probeOwn = 0;

  /** A message of plant time `server` arrived at `own` (monotonic ms). */
  hear(server: number, own: number): void {
    if (this.#server === 0) {
      this.#server = this.#probeServer = server;
      this.#own = this.#probeOwn = own;
      return;
    }
    const passed = own - this.#probeOwn;
    if (passed >= 3000) {
      const rate = (server - this.#probeServer) / passed;
      if (rate > 0) this.rate = Math.abs(rate - 1) < 0.1 ? 1 : rate < 1 ? rate : Math.round(rate * 10) / 10;
      this.#probeServer = server;
      this.#probeOwn = own;
    }
    // The message that travelled fastest knows best: go forward at once, backward slowly.
    const error = server - this.at(own);
    const far = Math.abs(error) > 2000 * this.rate;
    this.#server = far || error > 0 ? server : this.at(own) + error * 0.05;
    this.#own = own;
  }

  /** Plant time at a moment of our monotonic clock; 0 until something was heard. */
  at(own: number): number {
    return this.#server === 0 ? 0 : this.#server + (own - this.#own) * this.rate;
  }
}

export const plantClock = new PlantClock();

/** Plant time now; the browser's own until the gateway was heard. */
export function plantNow(): number {
  const at = plantClock.at(performance.now());
  return at === 0 ? Date.now() : at;
}

/** Plant time of the last second's tick. Stands still in a hidden tab. What a page shows follows `when.tick`. */
export const tick = signal(Date.now());

/** Real seconds since the page started, for time-outs. */
export const pulse = signal(0);

function beat(): void {
  if (document.hidden) return;
  tick.value = plantNow();
  pulse.value += 1;
}

setInterval(beat, 1000);
document.addEventListener("visibilitychange", beat);
