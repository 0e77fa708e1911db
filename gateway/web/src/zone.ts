/** Plant time: every time on every page is in the plant's zone, 24 h, never the browser's. */

export interface Zone {
  readonly name: string;
  /** `14:03:07` */
  clock(ms: number): string;
  /** `14:03` */
  minute(ms: number): string;
  /** `2026-11-22` */
  date(ms: number): string;
  /** `11-22` */
  day(ms: number): string;
  /** `14:03:07` on the day of `now`, else `11-21 14:03:07`. */
  moment(ms: number, now: number): string;
  /** `2026-11-22 14:03:07.250+08:00`, for files. */
  stamp(ms: number): string;
  /** `2026-11-22 14:03:07`, for people to read and write. */
  local(ms: number): string;
  /** What a person wrote as ms UTC: date and time, a time of the day of `near`, seconds optional; null: no moment. */
  parse(text: string, near: number): number | null;
  /** ms that plant time is ahead of UTC at that moment. */
  offset(ms: number): number;
}

const WRITTEN = /^(?:(?:(\d{4})[-/.])?(\d{1,2})[-/.](\d{1,2})[ T])?\s*(\d{1,2}):(\d{2})(?::(\d{2}))?$/;

const two = (n: number): string => String(n).padStart(2, "0");

/** A zone by its IANA name; an unknown name falls back to UTC and says so in `name`. */
export function openZone(timezone: string): Zone {
  let name = timezone;
  let parts: Intl.DateTimeFormat;
  const options = {
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  } as const;
  try {
    parts = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: timezone });
  } catch {
    name = "UTC";
    parts = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" });
  }

  // An offset only changes on a quarter of an hour, so one look-up serves all of it.
  const known = new Map<number, number>();
  const offset = (ms: number): number => {
    const quarter = Math.floor(ms / 900_000);
    const had = known.get(quarter);
    if (had !== undefined) return had;
    const at = quarter * 900_000;
    const field: Record<string, number> = {};
    for (const part of parts.formatToParts(at)) field[part.type] = Number(part.value);
    const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = field;
    const found = Date.UTC(year, month - 1, day, hour, minute, second) - at;
    if (known.size > 5000) known.clear();
    known.set(quarter, found);
    return found;
  };

  const local = (ms: number): Date => new Date(ms + offset(ms));
  const minute = (ms: number): string => {
    const t = local(ms);
    return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`;
  };
  const clock = (ms: number): string => `${minute(ms)}:${two(local(ms).getUTCSeconds())}`;
  const date = (ms: number): string => local(ms).toISOString().slice(0, 10);
  const day = (ms: number): string => date(ms).slice(5);
  return {
    name,
    clock,
    minute,
    date,
    day,
    offset,
    local: (ms) => `${date(ms)} ${clock(ms)}`,
    parse: (text, near) => {
      const match = WRITTEN.exec(text.trim());
      if (match === null) return null;
      const [, year, month, dayOf, hour, min, sec] = match;
      const [y, m, d] = date(near).split("-");
      const fields = [year ?? y, month ?? m, dayOf ?? d, hour, min, sec ?? "0"].map(Number);
      const [yy = 0, mm = 0, dd = 0, h = 0, mi = 0, ss = 0] = fields;
      if (mm < 1 || mm > 12 || dd < 1 || dd > 31 || h > 23 || mi > 59 || ss > 59) return null;
      const wall = Date.UTC(yy, mm - 1, dd, h, mi, ss);
      if (new Date(wall).getUTCDate() !== dd) return null;
      // The offset is that of the moment itself, which a second step settles.
      return wall - offset(wall - offset(wall));
    },
    moment: (ms, now) => (date(ms) === date(now) ? clock(ms) : `${day(ms)} ${clock(ms)}`),
    stamp: (ms) => {
      const shift = Math.round(offset(ms) / 60_000);
      const sign = shift < 0 ? "-" : "+";
      const zone = `${sign}${two(Math.floor(Math.abs(shift) / 60))}:${two(Math.abs(shift) % 60)}`;
      return local(ms).toISOString().replace("T", " ").replace("Z", zone);
    },
  };
}

const STEPS_MS = [1, 2, 5, 10, 15, 30].map((s) => s * 1000)
  .concat([1, 2, 5, 10, 15, 30].map((m) => m * 60_000))
  .concat([1, 2, 3, 4, 6, 12].map((h) => h * 3_600_000))
  .concat([1, 2, 5, 7, 14, 28].map((d) => d * 86_400_000));

/** Round plant times for an axis, at most `count` of them, and the step between. */
export function axisTimes(zone: Zone, start: number, end: number, count: number): { times: number[]; step: number } {
  const least = (end - start) / Math.max(1, count);
  const step = STEPS_MS.find((s) => s >= least) ?? Math.ceil(least / 86_400_000) * 86_400_000;
  const times: number[] = [];
  const shift = zone.offset(start);
  for (let t = Math.ceil((start + shift) / step) * step - shift; t <= end; t += step) times.push(t);
  return { times, step };
}

/** An axis label: seconds, minutes or days as the step needs; midnight shows the day. */
export function axisLabel(zone: Zone, ms: number, step: number): string {
  if (step < 60_000) return zone.clock(ms);
  if (step >= 86_400_000 || zone.minute(ms) === "00:00") return zone.day(ms);
  return zone.minute(ms);
}
