/** The figures of one row: OEE with its coverage or the reason in its place, its factors, times, counts, products. */

import type { Kpi, Oee, TimeKey } from "../api";
import { lasting, say, words } from "../locale";
import { NOTHING, printCoverage, printNumber, printShare } from "../number";
import { assetOf, signalAt } from "../plant";

function Factor({ name, value, title }: { name: string; value: number | null; title?: string }) {
  return (
    <tr>
      <th scope="row" title={title ?? name}>
        {name}
      </th>
      <td class="fall" aria-hidden="true">
        {value !== null && <i style={`left:0;width:${Math.min(100, Math.max(0, value * 100))}%`} />}
      </td>
      <td class="r live">{printShare(value)}</td>
    </tr>
  );
}

/** Where the good count comes from, by the names that plant.yaml gives. */
function qualitySource(row: Kpi): string {
  const w = words.value;
  const source = row.quality_source;
  if (source === null) return w.qualityUnknown;
  const name = say(assetOf(source.asset)?.name) || source.asset;
  if (source.signal === null) return w.qualityFrom(name);
  const path = source.signal.includes("/") ? source.signal : `${source.asset}/${source.signal}`;
  return w.qualityFrom(`${name}, ${say(signalAt(path)?.signal.name) || source.signal}`);
}

/** At which machine a line's OEE is taken, and how that was found. */
function Constraint({ answer }: { answer: Oee }) {
  const w = words.value;
  if (!answer.line) return null;
  const at = answer.constraint;
  if (at === null) return <p class="quiet">{w.noConstraint}</p>;
  return (
    <p class="oee-constraint">
      {w.constraintAt(say(assetOf(at.asset)?.name) || at.asset)} <span class="quiet">({w[`how_${at.how}`]})</span>
    </p>
  );
}

export function Headline({ answer, row }: { answer: Oee; row: Kpi }) {
  const w = words.value;
  const share = printCoverage(row.coverage);
  return (
    <div class="oee-head">
      {row.why_not === null ? (
        <p class="oee-number">
          <span class="num live">{printShare(row.oee)}</span>
          <span class="oee-coverage" title={w.coverage}>
            <span class="share-bar" aria-hidden="true">
              <i style={`width:${Math.min(100, row.coverage * 100)}%`} />
            </span>
            {w.coverageOf(share)}
          </span>
        </p>
      ) : (
        <p class="oee-why">
          <b>{w.noFigures}</b>
          <span>{say(row.why_not)}</span>
          <span class="quiet">{w.coverageOf(share)}</span>
        </p>
      )}
      <table class="factors">
        <tbody>
          <Factor name={w.availability} value={row.availability} />
          <Factor name={w.effectiveness} value={row.effectiveness} />
          <Factor name={w.qualityRate} value={row.quality} />
        </tbody>
      </table>
      <Constraint answer={answer} />
      <p class="quiet">{row.quality_note == null ? qualitySource(row) : say(row.quality_note)}</p>
      {(row.notes ?? []).map((note) => (
        <p class="quiet" key={note.en}>
          {say(note)}
        </p>
      ))}
    </div>
  );
}

const TIMES: readonly TimeKey[] = ["pot_s", "pdt_s", "pbt_s", "aubt_s", "aupt_s", "apt_s", "asut_s", "adet_s", "adot_s", "unknown_s"];

export function Times({ row }: { row: Kpi }) {
  const w = words.value;
  // Of a time of which nothing is known nothing was counted: that is not none.
  const { pq, gq, sq } = row.coverage > 0 ? row.counts : { pq: null, gq: null, sq: null };
  const counts = [
    [w.produced, pq],
    [w.goodCount, gq],
    [w.scrap, sq],
  ] as const;
  const others = [
    [w.nee, row.nee, w.neeTitle],
    [w.technical, row.technical_efficiency, w.technicalTitle],
    [w.utilization, row.utilization, w.utilizationTitle],
  ] as const;
  const length = (s: number | null): string => (s === null ? NOTHING : lasting(s * 1000));
  return (
    <div class="oee-times">
      <dl class="pairs">
        {TIMES.map((key) => (
          <div key={key}>
            <dt>{w[`time_${key}`]}</dt>
            <dd class="live">{length(row.times[key])}</dd>
          </div>
        ))}
      </dl>
      <dl class="pairs">
        {counts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="live">
              {printNumber(value, 0)} {value !== null && <span class="unit">{w.parts}</span>}
            </dd>
          </div>
        ))}
        {others.map(([name, value, title]) => (
          <div key={name}>
            <dt title={title}>{name}</dt>
            <dd class="live">{printShare(value)}</dd>
          </div>
        ))}
        <div>
          <dt>{w.mtbf}</dt>
          <dd class="live">
            {row.at_least === true && row.mtbf_s !== null && "≥ "}
            {length(row.mtbf_s)}
          </dd>
        </div>
        <div>
          <dt>{w.mttr}</dt>
          <dd class="live">{length(row.mttr_s)}</dd>
        </div>
        <div class="estimator">
          <dt class="visually-hidden">{w.estimator}</dt>
          <dd class="quiet">
            {row.failures !== null && w.failures(printNumber(row.failures, 0))}
            {row.estimator !== null && `. ${w.estimator}: ${say(row.estimator)}`}
          </dd>
        </div>
      </dl>
    </div>
  );
}

export function Products({ row }: { row: Kpi }) {
  const w = words.value;
  if (row.products.length === 0 || row.coverage === 0) return null;
  return (
    <table class="oee-products">
      <thead>
        <tr>
          <th scope="col">{w.kpiProduct}</th>
          <th scope="col" class="r">
            {w.idealCycle}
          </th>
          <th scope="col" class="r">
            {w.produced}
          </th>
          <th scope="col" class="r">
            {w.goodCount}
          </th>
        </tr>
      </thead>
      <tbody>
        {row.products.map((p) => (
          <tr key={p.product}>
            <th scope="row">{say(p.name) || p.product || w.productNone}</th>
            <td class="r live">
              {p.pru_s === null ? NOTHING : printNumber(p.pru_s, Number.isInteger(p.pru_s) ? 0 : 1)} <span class="unit">{w.unit_s}</span>
            </td>
            <td class="r live">{printNumber(p.pq, 0)}</td>
            <td class="r live">{printNumber(p.gq, 0)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
