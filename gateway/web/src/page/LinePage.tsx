/** The landing page: is anything wrong, where, since when, and does the line flow? */

import { useComputed } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { Line } from "../api";
import { view } from "../live";
import { say, words } from "../locale";
import { Blank } from "../part/Blank";
import { assetOf, machinesOf, plant, utilities } from "../plant";
import { AttentionLine } from "./AttentionLine";
import { Bands } from "./Bands";
import { Counts } from "./Counts";
import { Keys } from "./Keys";
import { Links } from "./Links";
import { Mimic } from "./Mimic";
import { Utilities } from "./Utilities";
import { OeePanel } from "./lazyOee";
import { Suspense } from "../frame/lazy";

/** All that the line page and the strip's counts look at: every asset that is no hidden detail. */
export function viewOfPlant(): string[] {
  return plant.value.assets.flatMap((a) => a.signals.filter((s) => s.kind !== "text").map((s) => s.path));
}

export function LinePage({ line }: { line: Line }) {
  useEffect(() => view(viewOfPlant()), [plant.value]);
  const machines = useComputed(() => machinesOf(line)).value;
  if (machines.length === 0) return <Blank title={words.value.noMachine} hint={words.value.noLineHint} />;
  const itself = assetOf(line.id);
  return (
    <div class="page line-page">
      <h1 class="visually-hidden">{say(line.name)}</h1>
      <AttentionLine />
      <Keys line={line} itself={itself} machines={machines} />
      <Mimic line={line} itself={itself} machines={machines} />
      <Bands machines={machines} />
      {itself !== undefined && <Suspense of={OeePanel} props={{ asset: itself }} />}
      <div class="columns">
        <Counts machines={machines} />
        <Utilities assets={utilities.value} />
        <Links />
      </div>
    </div>
  );
}
