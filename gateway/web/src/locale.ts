/** Language and theme, as signals; the address wins, then what was chosen before, then the system. */

import { computed, effect, signal } from "@preact/signals";

import type { Label } from "./api";
import { type DurationWords, printDuration } from "./number";
import { query, setQuery } from "./route";
import { CATALOGUES, type Lang, type Words } from "./words";

export type Theme = "light" | "dark";

function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Private windows keep nothing; the address still does.
  }
}

const systemLang: Lang = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
const darkWanted = matchMedia("(prefers-color-scheme: dark)");
const systemTheme = signal<Theme>(darkWanted.matches ? "dark" : "light");
darkWanted.addEventListener("change", () => (systemTheme.value = darkWanted.matches ? "dark" : "light"));

const asLang = (s: string | null): Lang | null => (s === "zh" || s === "en" ? s : null);
const asTheme = (s: string | null): Theme | null => (s === "light" || s === "dark" ? s : null);

const chosenLang = signal(asLang(remembered("kaikou.lang")));
const chosenTheme = signal(asTheme(remembered("kaikou.theme")));

export const lang = computed<Lang>(() => asLang(query.value.get("lang")) ?? chosenLang.value ?? systemLang);
export const theme = computed<Theme>(() => asTheme(query.value.get("theme")) ?? chosenTheme.value ?? systemTheme.value);
export const words = computed<Words>(() => CATALOGUES[lang.value]);

export function chooseLang(next: Lang): void {
  chosenLang.value = next;
  remember("kaikou.lang", next);
  setQuery({ lang: next }, true);
}

export function chooseTheme(next: Theme): void {
  chosenTheme.value = next;
  remember("kaikou.theme", next);
  setQuery({ theme: next }, true);
}

/** A name from plant.yaml in the language of the page. */
export function say(label: Label | undefined): string {
  return label === undefined ? "" : label[lang.value] || label.en || label.zh;
}

const durationWords = computed<DurationWords>(() => {
  const w = words.value;
  return { s: w.unit_s, min: w.unit_min, h: w.unit_h, d: w.unit_d, gap: lang.value === "zh" ? "\u202f" : "\u00a0" };
});

/** A length of time in words. */
export function lasting(ms: number): string {
  return printDuration(ms, durationWords.value);
}

effect(() => {
  document.documentElement.lang = lang.value === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset["theme"] = theme.value;
});
