/** The frame around every page, and which page it is. */

import { useComputed } from "@preact/signals";
import { lazy, Suspense, Unplaced } from "./lazy";
import { useEffect } from "preact/hooks";

import { connection } from "../live";
import { say, words } from "../locale";
import { LinePage } from "../page/LinePage";
import { Blank, Failed, Loading, Missing } from "../part/Blank";
import { assetOf, lineOf, plant, session, start, zone } from "../plant";
import { go, lineHref, machineHref, route } from "../route";
import { choosing, opened } from "../stop/opened";
import { at } from "../when";
import { Disconnected, Foot } from "./Foot";
import { Login } from "./Login";
import { Rail } from "./Rail";
import { LocaleButtons, Strip } from "./Strip";
import { PastBanner, pastClass, TimeBar } from "./TimeBar";

const Dialogs = lazy(() => import("../stop/Dialogs").then((m) => m.Dialogs));
const PeoplePage = lazy(() => import("../people/PeoplePage").then((m) => m.PeoplePage));
const MachinePage = lazy(() => import("../page/MachinePage").then((m) => m.MachinePage));

function Page() {
  const here = route.value;
  const first = plant.value.lines[0];
  const machine = plant.value.assets.find((a) => a.role !== "edge");
  useEffect(() => {
    if (here.page !== "home") return;
    if (first !== undefined) go(lineHref(first.id), true);
    else if (machine !== undefined) go(machineHref(machine.id), true);
  }, [here.page, first, machine]);
  if (here.page === "home") {
    return first === undefined ? <Blank title={words.value.noLine} hint={words.value.noLineHint} /> : <Loading />;
  }
  if (here.page === "line") {
    const line = lineOf(here.id);
    return line === undefined ? <Missing /> : <LinePage key={line.id} line={line} />;
  }
  if (here.page === "machine") {
    const asset = assetOf(here.id);
    return asset === undefined ? <Missing /> : <Suspense of={MachinePage} props={{ asset }} key={asset.id} />;
  }
  if (here.page === "people") return <Suspense of={PeoplePage} props={{}} />;
  return <Missing />;
}

function useTitle(): void {
  const title = useComputed(() => {
    const here = route.value;
    const name =
      here.page === "line"
        ? say(lineOf(here.id)?.name)
        : here.page === "machine"
          ? say(assetOf(here.id)?.name)
          : here.page === "people"
            ? words.value.people
            : "";
    const past = at.value === null ? "" : `${words.value.asOf(zone.value.local(at.value))} · `;
    return past + (name === "" ? words.value.product : `${name} · ${words.value.product}`);
  });
  useEffect(() => title.subscribe((text) => (document.title = text)), []);
}

export function App() {
  useTitle();
  const now = session.value;
  const content = useComputed(() => `content${connection.value.state === "lost" ? " lost" : ""}${pastClass()}`);
  if (now.state === "out") return <Login />;
  if (now.state === "starting") return <Loading />;
  if (now.state === "failed") {
    return (
      <>
        <div class="login-tools">
          <LocaleButtons />
        </div>
        <Failed error={now.error} again={() => void start()} />
      </>
    );
  }
  return (
    <div class={at.value === null ? "frame" : "frame past"}>
      <a class="skip" href="#content">
        {words.value.skip}
      </a>
      <Strip />
      <TimeBar />
      <Rail />
      <main id="content" class={content} tabIndex={-1}>
        <Disconnected />
        <PastBanner />
        <Page />
      </main>
      <Foot />
      {(opened.value !== null || choosing.value !== null) && <Unplaced of={Dialogs} />}
    </div>
  );
}
