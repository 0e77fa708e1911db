/** The top strip: where you are, what needs attention, language, theme, who you are. */

import { useEffect, useRef } from "preact/hooks";

import { assetOf, lineOf, logOut, plant, session } from "../plant";
import { counts, type Priority } from "../attention";
import { chooseLang, chooseTheme, lang, say, theme, words } from "../locale";
import { Mark } from "../part/Mark";
import { href, lineHref, machineHref, route } from "../route";
import { connection, view } from "../live";
import { at } from "../when";
import { WhenButton } from "./TimeBar";

function Breadcrumb() {
  const here = route.value;
  const asset = here.page === "machine" ? assetOf(here.id) : undefined;
  const lineId = here.page === "line" ? here.id : (asset?.line ?? null);
  const line = lineId === null ? undefined : lineOf(lineId);
  return (
    <nav class="breadcrumb" aria-label={words.value.breadcrumb}>
      <ol>
        <li>
          <a href={href("/")}>{say(plant.value.name) || plant.value.site}</a>
        </li>
        {line !== undefined && (
          <li>
            <a href={lineHref(line.id)} {...(asset === undefined ? { "aria-current": "page" as const } : {})}>
              {say(line.name)}
            </a>
          </li>
        )}
        {asset !== undefined && (
          <li>
            <a href={machineHref(asset.id)} aria-current="page">
              {say(asset.name)}
            </a>
          </li>
        )}
      </ol>
    </nav>
  );
}

function rightWord(right: string): string {
  const w = words.value;
  return right === "viewer" || right === "operator" || right === "engineer" || right === "admin" ? w[`right_${right}`] : right;
}

/** All that the pages and the strip's counts look at, on whatever page: the counts are of the whole plant. */
function viewOfPlant(): string[] {
  return plant.value.assets.flatMap((a) => a.signals.filter((s) => s.kind !== "text").map((s) => s.path));
}

function Attention() {
  const w = words.value;
  useEffect(() => view(viewOfPlant()), [plant.value]);
  const { by, silent, lost } = counts.value;
  const abnormal = by[1] + by[2] + by[3] + by[4];
  if (at.value === null && connection.value.state === "connecting") return <div class="attention-counts" />;
  return (
    <div class="attention-counts" role="status" aria-label={w.attention}>
      <span class={abnormal > 0 ? "count on" : "count"}>
        {abnormal > 0 ? (
          ([1, 2, 3, 4] as Priority[]).map((p) =>
            by[p] > 0 ? (
              <span key={p} class="pair">
                <Mark priority={p} />
                <b>{by[p]}</b>
              </span>
            ) : null,
          )
        ) : (
          <b>0</b>
        )}
        <span class="what">{w.abnormal}</span>
      </span>
      <span class={silent > 0 ? "count on" : "count"}>
        <b>{silent}</b>
        <span class="what">{w.noData}</span>
      </span>
      {at.value === null && (
        <span class={lost > 0 ? "count on" : "count"}>
          <b>{lost}</b>
          <span class="what">{w.linksLost}</span>
        </span>
      )}
    </div>
  );
}

export function LocaleButtons() {
  const w = words.value;
  const next = theme.value === "dark" ? "light" : "dark";
  return (
    <>
      <button
        type="button"
        class="plain"
        title={w.languageTitle}
        lang={lang.value === "zh" ? "en" : "zh-CN"}
        onClick={() => chooseLang(lang.value === "zh" ? "en" : "zh")}
      >
        {w.language}
      </button>
      <button type="button" class="plain" title={w.themeTitle} onClick={() => chooseTheme(next)}>
        {next === "dark" ? w.themeDark : w.themeLight}
      </button>
    </>
  );
}

/** A menu closes by Escape and by a click elsewhere. */
function useClosing() {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const open = menu.current;
      if (open === null || !open.open) return;
      if (event instanceof KeyboardEvent) {
        if (event.key !== "Escape") return;
        open.querySelector("summary")?.focus();
      } else if (event.target instanceof Node && open.contains(event.target)) return;
      open.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return menu;
}

export function Strip() {
  const menu = useClosing();
  const w = words.value;
  const now = session.value;
  return (
    <header class="strip">
      <Breadcrumb />
      <Attention />
      <div class="strip-tools">
        <WhenButton />
        <LocaleButtons />
        {now.state === "in" && (
          <details class="menu" ref={menu}>
            <summary title={w.signedInAs(now.person.name)}>{now.person.name}</summary>
            <div class="menu-body">
              <p>{w.signedInAs(now.person.name)}</p>
              <p class="quiet">
                {w.rights}: {now.person.rights.map(rightWord).join(", ")}
              </p>
              <a href={href("/people")} onClick={() => menu.current?.removeAttribute("open")}>
                {now.person.rights.includes("admin") ? w.people : w.ownPassword}
              </a>
              <button type="button" onClick={() => void logOut()}>
                {w.logOut}
              </button>
            </div>
          </details>
        )}
      </div>
    </header>
  );
}
