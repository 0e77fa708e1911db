/** The looks of states on a canvas, from the tokens of the present theme. */

import type { Look } from "../band";

export type Fill = string | CanvasPattern;

export function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function tile(context: CanvasRenderingContext2D, size: number, draw: (ink: CanvasRenderingContext2D) => void): Fill {
  const ratio = devicePixelRatio;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.round(size * ratio);
  const ink = canvas.getContext("2d");
  if (ink === null) return "transparent";
  ink.scale(canvas.width / size, canvas.height / size);
  draw(ink);
  const pattern = context.createPattern(canvas, "repeat");
  if (pattern === null) return "transparent";
  pattern.setTransform(new DOMMatrix().scale(size / canvas.width));
  return pattern;
}

/** Diagonal hatch on a ground. */
export function hatch(context: CanvasRenderingContext2D, ground: string, ink: string, size = 6): Fill {
  return tile(context, size, (c) => {
    if (ground !== "") {
      c.fillStyle = ground;
      c.fillRect(0, 0, size, size);
    }
    c.strokeStyle = ink;
    c.lineWidth = 1;
    c.beginPath();
    for (const shift of [-size, 0, size]) {
      c.moveTo(shift - 1, size + 1);
      c.lineTo(shift + size + 1, -1);
    }
    c.stroke();
  });
}

/** The fills of all looks. `blocked` is hatched upright, `changing` dotted, `unknown` diagonal. */
export function lookFills(context: CanvasRenderingContext2D): Record<Look, Fill> {
  return {
    running: token("--st-running"),
    idle: token("--st-idle"),
    blocked: tile(context, 4, (c) => {
      c.fillStyle = token("--st-blocked");
      c.fillRect(0, 0, 4, 4);
      c.fillStyle = token("--st-blocked-ink");
      c.fillRect(0, 0, 1, 4);
    }),
    changing: tile(context, 4, (c) => {
      c.fillStyle = token("--st-changing");
      c.fillRect(0, 0, 4, 4);
      c.fillStyle = token("--st-changing-ink");
      c.fillRect(1, 1, 1.4, 1.4);
    }),
    stopped: token("--st-stopped"),
    held: token("--st-held"),
    down: token("--st-down"),
    unknown: hatch(context, token("--st-unknown"), token("--st-unknown-ink")),
  };
}
