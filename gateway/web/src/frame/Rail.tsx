/** The pages, at the left; a row of tabs on a phone. */

import { assetOf, lineOf, plant } from "../plant";
import { words } from "../locale";
import { lineHref, machineHref, route } from "../route";

export function Rail() {
  const at = route.value;
  const w = words.value;
  const asset = at.page === "machine" ? assetOf(at.id) : undefined;
  const line =
    (at.page === "line" ? lineOf(at.id) : undefined) ??
    (asset?.line != null ? lineOf(asset.line) : undefined) ??
    plant.value.lines[0];
  const machine = asset?.id ?? line?.constraint ?? line?.flow[0]?.asset ?? plant.value.assets[0]?.id;
  const here = { "aria-current": "page" as const };
  return (
    <nav class="rail" aria-label={w.pages}>
      {line !== undefined && (
        <a href={lineHref(line.id)} {...(at.page === "line" ? here : {})}>
          <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
            <path d="M1.5 7.5h5v7h-5zM8.5 7.5h5v7h-5zM15.5 7.5h5v7h-5zM6.5 11h2M13.5 11h2" />
          </svg>
          <span>{w.lines}</span>
        </a>
      )}
      {machine !== undefined && (
        <a href={machineHref(machine)} {...(at.page === "machine" ? here : {})}>
          <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
            <path d="M2.5 3.5v15h17M5 14.5l4-5 3.5 3 5.5-7.5" />
          </svg>
          <span>{w.machines}</span>
        </a>
      )}
    </nav>
  );
}
