/** The frame around every page, and which page it is. */

import { useComputed } from "@preact/signals";
import { lazy, Suspense } from "./lazy";
import { useEffect } from "preact/hooks";

import { connection } from "../live";
import { say, words } from "../locale";
import { LinePage } from "../page/LinePage";
import { Blank, Failed, Loading, Missing } from "../part/Blank";
import { assetOf, lineOf, plant, session, start } from "../plant";
import { go, lineHref, machineHref, route } from "../route";
import { Disconnected, Foot } from "./Foot";
import { Login } from "./Login";
import { Rail } from "./Rail";
import { LocaleButtons, Strip } from "./Strip";

const MachinePage = lazy(() => import("../page/MachinePage").then((m) => m.MachinePage));

function Page() {
  const at = route.value;
  const first = plant.value.lines[0];
  const machine = plant.value.assets.find((a) => a.role !== "edge");
  useEffect(() => {
    if (at.page !== "home") return;
    if (first !== undefined) go(lineHref(first.id), true);
    else if (machine !== undefined) go(machineHref(machine.id), true);
  }, [at.page, first, machine]);
  if (at.page === "home") {
    return first === undefined ? <Blank title={words.value.noLine} hint={words.value.noLineHint} /> : <Loading />;
  }
  if (at.page === "line") {
    const line = lineOf(at.id);
    return line === undefined ? <Missing /> : <LinePage key={line.id} line={line} />;
  }
  if (at.page === "machine") {
    const asset = assetOf(at.id);
    return asset === undefined ? <Missing /> : <Suspense of={MachinePage} props={{ asset }} key={asset.id} />;
  }
  return <Missing />;
}

function useTitle(): void {
  const title = useComputed(() => {
    const at = route.value;
    const name =
      at.page === "line" ? say(lineOf(at.id)?.name) : at.page === "machine" ? say(assetOf(at.id)?.name) : "";
    return name === "" ? words.value.product : `${name} · ${words.value.product}`;
  });
  useEffect(() => title.subscribe((text) => (document.title = text)), []);
}

export function App() {
  useTitle();
  const now = session.value;
  const content = useComputed(() => (connection.value.state === "lost" ? "content lost" : "content"));
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
    <div class="frame">
      <a class="skip" href="#content">
        {words.value.skip}
      </a>
      <Strip />
      <Rail />
      <main id="content" class={content} tabIndex={-1}>
        <Disconnected />
        <Page />
      </main>
      <Foot />
    </div>
  );
}
