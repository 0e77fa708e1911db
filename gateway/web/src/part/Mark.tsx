/** Alarm marks: shape, digit and dark outline, so that colour is never the only carrier. */

import type { Priority } from "../attention";
import { words } from "../locale";

const SHAPES: Readonly<Record<Priority, string>> = {
  1: "M1.5 1.5h13v13h-13z",
  2: "M8 1.2 15.2 14.6H.8z",
  3: "M8 14.8.8 1.4h14.4z",
  4: "M8 1.2a6.8 6.8 0 1 1 0 13.6A6.8 6.8 0 0 1 8 1.2z",
};

const DIGIT_Y: Readonly<Record<Priority, number>> = { 1: 11.7, 2: 12.9, 3: 9.4, 4: 11.7 };

export function Mark({ priority, size = 16 }: { priority: Priority; size?: number }) {
  return (
    <svg class={`mark mark-${priority}`} width={size} height={size} viewBox="0 0 16 16" role="img" aria-label={words.value.priority(priority)}>
      <path d={SHAPES[priority]} stroke-width="1.5" stroke-linejoin="round" />
      <text x="8" y={DIGIT_Y[priority]} text-anchor="middle" font-size={priority === 2 || priority === 3 ? 8.5 : 10.5} font-weight="700">
        {priority}
      </text>
    </svg>
  );
}
