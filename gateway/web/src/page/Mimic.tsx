/** The line in flow order: plain boxes, buffers between them, and under each box its machine card. */

import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";

import type { Asset, Line } from "../api";
import { concernsAt } from "../attention";
import { cell } from "../live";
import { say, words } from "../locale";
import { printNumber } from "../number";
import { Mark } from "../part/Mark";
import { lookNow, StateWord } from "../part/StateWord";
import { assetOf, judgeSignal, signalOf } from "../plant";
import { machineHref } from "../route";
import { MachineCard } from "./MachineCard";
import { tick } from "../when";

function Box({ asset, constraint }: { asset: Asset; constraint: boolean }) {
  const state = signalOf(asset, "state");
  const strip = useMemo(
    () => computed(() => `box-state look-${state === undefined ? "unknown" : lookNow(state, asset)}`),
    [asset],
  );
  const worst = concernsAt(asset.id)[0];
  return (
    <a class={constraint ? "box constraint" : "box"} href={machineHref(asset.id)}>
      <span class="box-name">
        <b>{say(asset.name)}</b>
        {constraint && <span class="box-constraint">{words.value.constraint}</span>}
      </span>
      <i class={strip} aria-hidden="true" />
      {worst !== undefined && (
        <span class="box-mark">
          <Mark priority={worst.priority} size={20} />
        </span>
      )}
      {state !== undefined && (
        <span class="visually-hidden">
          <StateWord signal={state} asset={asset} />
        </span>
      )}
    </a>
  );
}

function Buffer(props: { itself: Asset | undefined; before: string; after: string; size: number }) {
  const s = props.itself === undefined ? undefined : signalOf(props.itself, `buffer_${props.before}`);
  const level = useMemo(
    () =>
      computed(() => {
        if (s === undefined || props.itself === undefined) return null;
        const sample = cell(s.path).value;
        return judgeSignal(s, props.itself, tick.value, sample).shown ? sample.value : null;
      }),
    [s, props.itself],
  );
  const text = useMemo(
    () => computed(() => (level.value === null ? "–" : printNumber(level.value, 0))),
    [level],
  );
  const fill = useMemo(
    () =>
      computed(() =>
        level.value === null || props.size <= 0
          ? "height:0"
          : `height:${Math.min(100, Math.max(0, (level.value / props.size) * 100))}%`,
      ),
    [level, props.size],
  );
  const w = words.value;
  const name = w.bufferBetween(say(assetOf(props.before)?.name), say(assetOf(props.after)?.name));
  return (
    <div class="buffer" title={name}>
      <span class="visually-hidden">{name}: </span>
      <span class={s === undefined ? "buffer-bar unknown" : "buffer-bar"} aria-hidden="true">
        <i style={fill} />
      </span>
      <span class="buffer-text">
        <b>{text}</b>
        <span>/{props.size}</span>
      </span>
    </div>
  );
}

export function Mimic({ line, itself, machines }: { line: Line; itself: Asset | undefined; machines: readonly Asset[] }) {
  const sizes = new Map(line.flow.map((s) => [s.asset, s.buffer]));
  return (
    <section class="mimic" aria-label={words.value.flow} style={`--n:${machines.length}`}>
      <div class="chain">
        {machines.map((asset, i) => {
          const next = machines[i + 1];
          return [
            <Box key={asset.id} asset={asset} constraint={asset.id === line.constraint} />,
            next !== undefined && (
              <Buffer
                key={`${asset.id}>`}
                itself={itself}
                before={asset.id}
                after={next.id}
                size={sizes.get(asset.id) ?? 0}
              />
            ),
          ];
        })}
      </div>
      <ul class="cards">
        {machines.map((asset) => (
          <li key={asset.id}>
            <MachineCard asset={asset} constraint={asset.id === line.constraint} />
          </li>
        ))}
      </ul>
    </section>
  );
}
