/** Wheel and touch on a plot: uPlot has neither. Dragging with a mouse is its own. */

export interface Gestures {
  readonly timeAt: (px: number) => number;
  readonly zoom: (factor: number, around: number) => void;
  readonly pan: (share: number) => void;
  readonly reset: () => void;
}

/** Wheel zooms at the pointer, Shift or a sideways wheel moves; one finger moves, two zoom; double click resets. */
export function watchGestures(over: HTMLElement, act: Gestures): () => void {
  const x = (event: { clientX: number }): number => event.clientX - over.getBoundingClientRect().left;

  const wheel = (event: WheelEvent): void => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) act.pan((sideways * lines) / 1000);
    else act.zoom(Math.exp(Math.max(-120, Math.min(120, event.deltaY * lines)) / 400), act.timeAt(x(event)));
  };

  const fingers = new Map<number, number>();
  const down = (event: PointerEvent): void => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, x(event));
    over.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const now = x(event);
    if (fingers.size === 1) act.pan((before - now) / over.clientWidth);
    else if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? now;
      const wide = Math.abs(now - other);
      if (wide > 8) act.zoom(Math.abs(before - other) / wide, act.timeAt((now + other) / 2));
    }
    fingers.set(event.pointerId, now);
  };
  const up = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
  };

  over.style.touchAction = "pan-y";
  over.addEventListener("wheel", wheel, { passive: false });
  over.addEventListener("pointerdown", down);
  over.addEventListener("pointermove", move);
  over.addEventListener("pointerup", up);
  over.addEventListener("pointercancel", up);
  over.addEventListener("dblclick", act.reset);
  return () => {
    over.removeEventListener("wheel", wheel);
    over.removeEventListener("pointerdown", down);
    over.removeEventListener("pointermove", move);
    over.removeEventListener("pointerup", up);
    over.removeEventListener("pointercancel", up);
    over.removeEventListener("dblclick", act.reset);
  };
}
