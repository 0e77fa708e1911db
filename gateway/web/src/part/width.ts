/** The width of an element as a signal, so that canvases are drawn to the pixel. */

import { type ReadonlySignal, useSignal } from "@preact/signals";
import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

export function useWidth<E extends HTMLElement>(): [RefObject<E | null>, ReadonlySignal<number>] {
  const element = useRef<E | null>(null);
  const width = useSignal(0);
  useLayoutEffect(() => {
    const target = element.current;
    if (target === null) return undefined;
    const read = (): void => {
      width.value = Math.floor(target.clientWidth);
    };
    read();
    const observer = new ResizeObserver(read);
    observer.observe(target);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}
