/** What each machine made: the last eight hours by the hour, the last hour against the ideal. */

import type { Aggregate, Asset } from "../api";
import { api } from "../api";
import { ageClass, useFetched } from "../fetched";
import { say, words } from "../locale";
import { NOTHING, printNumber } from "../number";
import { Failed, Skeleton } from "../part/Blank";
import { signalOf, zone } from "../plant";
import { machineHref } from "../route";
import { LOOK_BACK_MS } from "../states";
import { sumKnown } from "./Keys";
import { countOf } from "./MachineCard";
import { pageNow } from "../when";

const HOUR_MS = 3_600_000;

interface Made {
  readonly hours: Aggregate;
  readonly rejects: Aggregate | null;
}

function Bars({ made, ideal }: { made: Made; ideal: number | null }) {
  const hours = made.hours.increase.map((v, i) => (v === null ? null : v + (made.rejects?.increase[i] ?? 0)));
  const top = Math.max(ideal ?? 0, ...hours.map((v) => v ?? 0), 1) * 1.05;
  const wide = 100 / Math.max(1, hours.length);
  return (
    <svg class="hour-bars" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      {hours.map((v, i) => {
        const at = made.hours.start[i] ?? 0;
        const title = `${zone.value.minute(at)}  ${printNumber(v, 0)}`;
        return v === null ? null : (
          <rect key={at} x={i * wide + 1} width={wide - 2} y={24 - (v / top) * 24} height={(v / top) * 24}>
            <title>{title}</title>
          </rect>
        );
      })}
      {ideal !== null && <line x1="0" x2="100" y1={24 - (ideal / top) * 24} y2={24 - (ideal / top) * 24} />}
    </svg>
  );
}

function Row({ asset }: { asset: Asset }) {
  const count = countOf(asset);
  const reject = signalOf(asset, "reject_count");
  const fetched = useFetched<Made>(count === undefined ? null : count.path, async (abort) => {
    const end = pageNow();
    const ask = (path: string) => api.aggregate(path, end - LOOK_BACK_MS, end, HOUR_MS, abort);
    const [hours, rejects] = await Promise.all([
      ask((count as NonNullable<typeof count>).path),
      reject === undefined ? null : ask(reject.path),
    ]);
    return { hours, rejects: count?.id === "good_count" ? rejects : null };
  });
  if (count === undefined) return null;
  const w = words.value;
  const ideal = asset.cycle_s === null ? null : 3600 / asset.cycle_s;
  const now = fetched.value;
  const made = now.state === "here" ? now.data : null;
  const good = made === null ? null : sumKnown(made.hours.increase);
  const rejected = made?.rejects == null ? null : sumKnown(made.rejects.increase);
  const hour = made === null ? null : (made.hours.increase.at(-1) ?? null);
  const hourAll = hour === null ? null : hour + (made?.rejects?.increase.at(-1) ?? 0);
  return (
    <tr class={ageClass(now)}>
      <th scope="row">
        <a href={machineHref(asset.id)}>{say(asset.name)}</a>
      </th>
      <td class="bars">
        {made !== null ? (
          <Bars made={made} ideal={ideal} />
        ) : now.state === "failed" ? (
          <Failed error={now.error} small />
        ) : (
          <Skeleton rows={1} />
        )}
      </td>
      <td class="r live">{printNumber(good, 0)}</td>
      <td class="r live">{reject === undefined ? <span class="quiet">{NOTHING}</span> : printNumber(rejected, 0)}</td>
      <td class="r live">
        {printNumber(hourAll, 0)}
        <span class="unit"> {w.of} {ideal === null ? NOTHING : printNumber(ideal, 0)}</span>
      </td>
    </tr>
  );
}

export function Counts({ machines }: { machines: readonly Asset[] }) {
  const w = words.value;
  return (
    <section class="panel counts" aria-label={w.counts}>
      <header>
        <h2>
          {w.counts} <span class="quiet">{w.lastHours(8)}</span>
        </h2>
      </header>
      <table>
        <thead>
          <tr>
            <th scope="col">{w.name}</th>
            <th scope="col">{w.perHourBars}</th>
            <th scope="col" class="r">
              {w.partsLong}
            </th>
            <th scope="col" class="r">
              {w.rejects}
            </th>
            <th scope="col" class="r" title={w.idealTitle}>
              {w.lastHour} {w.of} {w.ideal}
            </th>
          </tr>
        </thead>
        <tbody>
          {machines.map((asset) => (
            <Row key={asset.id} asset={asset} />
          ))}
        </tbody>
      </table>
    </section>
  );
}
