/** Numbers as the plant reads them: decimals of the signal, thin-space thousands, a true minus. */

const THIN = "\u202f";
export const NOTHING = "--";

/** `12 345.6`, grouped from five digits on; `--` for no value. */
export function printNumber(value: number | null | undefined, decimals: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NOTHING;
  const fixed = Math.abs(value).toFixed(Math.max(0, Math.min(decimals, 9)));
  const [whole = "0", part] = fixed.split(".");
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, THIN) : whole;
  const zero = Number(fixed) === 0;
  return (value < 0 && !zero ? "\u2212" : "") + grouped + (part === undefined ? "" : `.${part}`);
}

/** A share of one as `97.4 %`. */
export function printShare(share: number | null, decimals = 1): string {
  return share === null || !Number.isFinite(share) ? NOTHING : `${printNumber(share * 100, decimals)}${THIN}%`;
}

/** How much is known, never said to be more than it is: 79.97 % is no 80 %. */
export function printCoverage(share: number): string {
  return printShare(Math.floor(share * 1000 + 1e-9) / 1000);
}

const UNITS: Readonly<Record<string, string>> = {
  degC: "°C",
  degF: "°F",
  "1/min": "min⁻¹",
  "1/s": "s⁻¹",
  "1/h": "h⁻¹",
  gram: "g",
  hp_metric: "PS",
};

/** The unit as it is printed: `m3/h` as m³/h; the figure in `mmH2O` is no power. */
export function printUnit(unit: string): string {
  return UNITS[unit] ?? unit.replace(/(?<=[mst])[23](?![A-Za-z0-9])/g, (n) => (n === "2" ? "²" : "³"));
}

/** Two significant parts of a length of time: `8 s`, `3 min 20 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function printDuration(ms: number, words: DurationWords): string {
  const s = Math.max(0, Math.round(ms / 1000));
  const gap = words.gap;
  if (s < 60) return `${s}${gap}${words.s}`;
  const min = Math.floor(s / 60);
  if (min < 10 && s % 60 > 0) return `${min}${gap}${words.min}${gap}${s % 60}${gap}${words.s}`;
  if (min < 60) return `${min}${gap}${words.min}`;
  const hours = Math.floor(min / 60);
  if (hours < 48) {
    const rest = min % 60;
    return `${hours}${gap}${words.h}` + (rest > 0 ? `${gap}${rest}${gap}${words.min}` : "");
  }
  const days = Math.floor(hours / 24);
  const rest = hours % 24;
  return `${days}${gap}${words.d}` + (rest > 0 ? `${gap}${rest}${gap}${words.h}` : "");
}

export interface DurationWords {
  readonly s: string;
  readonly min: string;
  readonly h: string;
  readonly d: string;
  /** Between number and unit. */
  readonly gap: string;
}
