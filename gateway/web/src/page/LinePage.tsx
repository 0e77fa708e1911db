/** The landing page: is anything wrong, where, since when, and does the line flow? */

import { useComputed } from "@preact/signals";

import type { Line } from "../api";
import { say, words } from "../locale";
import { Blank } from "../part/Blank";
import { assetOf, machinesOf, utilities } from "../plant";
import { AttentionLine } from "./AttentionLine";
import { Bands } from "./Bands";
import { Counts } from "./Counts";
import { Keys } from "./Keys";
import { Links } from "./Links";
import { Mimic } from "./Mimic";
import { Utilities } from "./Utilities";
import { OeePanel } from "./lazyOee";
import { Suspense } from "../frame/lazy";

export function LinePage({ line }: { line: Line }) {
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
