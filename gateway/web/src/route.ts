/** The address is the state: page, range, pens, language and theme can all be sent to somebody. */

import { computed, signal } from "@preact/signals";

export type Route =
  | { readonly page: "home" }
  | { readonly page: "line"; readonly id: string }
  | { readonly page: "machine"; readonly id: string }
  | { readonly page: "people" }
  | { readonly page: "missing" };

/** What a path names. */
export function parsePath(pathname: string): Route {
  const parts = pathname.split("/").filter((p) => p !== "");
  const [page, id] = parts.map(decodeURIComponent);
  if (page === undefined) return { page: "home" };
  if (parts.length === 2 && id !== undefined && (page === "line" || page === "machine")) return { page, id };
  if (parts.length === 1 && page === "people") return { page };
  return { page: "missing" };
}

const address = signal(location.pathname + location.search);
addEventListener("popstate", () => (address.value = location.pathname + location.search));

export const route = computed<Route>(() => parsePath(new URL(address.value, location.origin).pathname));
export const query = computed(() => new URL(address.value, location.origin).searchParams);

/** Language, theme and the moment shown travel with every link; range and pens belong to their page. */
const KEPT = ["lang", "theme", "at", "known"];

export function href(path: string, params: Readonly<Record<string, string>> = {}): string {
  const search = new URLSearchParams();
  for (const key of KEPT) {
    const value = query.value.get(key);
    if (value !== null) search.set(key, value);
  }
  for (const [key, value] of Object.entries(params)) search.set(key, value);
  const text = printQuery(search);
  return text === "" ? path : `${path}?${text}`;
}

export const lineHref = (id: string): string => href(`/line/${encodeURIComponent(id)}`);
export const machineHref = (id: string, params: Readonly<Record<string, string>> = {}): string =>
  href(`/machine/${encodeURIComponent(id)}`, params);

/** Slashes and commas are legal in a query and much easier to read. */
function printQuery(search: URLSearchParams): string {
  return search.toString().replaceAll("%2F", "/").replaceAll("%2C", ",");
}

export function go(to: string, replace = false): void {
  if (to === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
  address.value = location.pathname + location.search;
}

/** Change some of the query; null takes a key out. */
export function setQuery(changes: Readonly<Record<string, string | null>>, replace = false): void {
  const search = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value === null) search.delete(key);
    else search.set(key, value);
  }
  const text = printQuery(search);
  go(location.pathname + (text === "" ? "" : `?${text}`), replace);
}

/** Ordinary clicks on our own links stay in the page. */
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
  if (!(link instanceof HTMLAnchorElement) || link.target !== "" || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.pathname.startsWith("/api")) return;
  if (link.hash !== "" && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
  scrollTo(0, 0);
  document.getElementById("content")?.focus({ preventScroll: true });
});
